//! A real kube-apiserver on a real etcd, both of the test's own. They end with this.
//!
//! Nobody runs pods there: what the controllers would say of a rollout, [`Apiserver::roll_out`] says.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::guardian;
use super::pooled::free_port;

/// How long both may take until they answer.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running pair.
pub(crate) struct Apiserver {
    port: u16,
    folder: TempDir,
    children: Vec<Child>,
}

// === impl Apiserver ===

impl Apiserver {
    /// Starts both. Tokens: `admin` may do all, `tuner` and `looker` what their roles say.
    pub(crate) fn start() -> Self {
        let program = std::env::var_os("PACECAR_KUBE_APISERVER").expect("PACECAR_KUBE_APISERVER: `make e2e` sets it");
        let folder = tempfile::tempdir().unwrap();
        let (client, peer, port) = (free_port(), free_port(), free_port());
        let mut this = Self { port, folder, children: Vec::new() };
        let at = |name: &str| this.folder.path().join(name);
        let mut etcd = Command::new("etcd");
        etcd.arg("--data-dir").arg(at("etcd")).args(["--log-level", "error"]);
        for flag in ["--listen-client-urls", "--advertise-client-urls"] {
            etcd.arg(flag).arg(format!("http://127.0.0.1:{client}"));
        }
        etcd.arg("--listen-peer-urls").arg(format!("http://127.0.0.1:{peer}"));
        let key = at("sa.key");
        let made = Command::new("openssl").args(["genrsa", "-out"]).arg(&key).arg("2048").output();
        assert!(made.is_ok_and(|made| made.status.success()), "openssl makes a key");
        fs::write(at("tokens.csv"), "admin,admin,1,system:masters\ntuner,tuner,2\nlooker,looker,3\n").unwrap();
        let mut server = Command::new(program);
        server.arg(format!("--etcd-servers=http://127.0.0.1:{client}")).arg(format!("--secure-port={port}"));
        server.args([
            "--bind-address=127.0.0.1",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.0.0.0/24",
        ]);
        server.arg("--service-account-issuer=https://kubernetes.default.svc");
        for (flag, file) in [
            ("cert-dir", at("certs")),
            ("token-auth-file", at("tokens.csv")),
            ("service-account-key-file", key.clone()),
            ("service-account-signing-key-file", key.clone()),
        ] {
            server.arg(format!("--{flag}={}", file.display()));
        }
        let children: Vec<Child> = [("etcd.log", etcd), ("apiserver.log", server)]
            .into_iter()
            .map(|(log, command)| spawn(command, &at(log)))
            .collect();
        this.children = children;
        let begun = Instant::now();
        while this.try_ask("GET", "/readyz", None).is_none_or(|answer| answer != json!("ok")) {
            let log = fs::read_to_string(this.folder.path().join("apiserver.log")).unwrap_or_default();
            assert!(begun.elapsed() < PATIENCE, "it is not ready: {log}");
            thread::sleep(Duration::from_millis(200));
        }
        this
    }

    /// Writes the kubeconfig of whoever has this token.
    pub(crate) fn kubeconfig(&self, path: &Path, token: &str) {
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
             contexts:\n- {{ name: c, context: {{ cluster: c, user: u }} }}\n\
             clusters:\n- {{ name: c, cluster: {{ server: 'https://127.0.0.1:{}', certificate-authority: '{}' }} }}\n\
             users:\n- {{ name: u, user: {{ token: {token} }} }}\n",
            self.port,
            self.authority().display()
        );
        fs::write(path, text).unwrap();
    }

    /// Asks as the administrator; what does not succeed fails the test.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let answer = self.try_ask(method, path, body).unwrap_or_else(|| panic!("no answer to {method} {path}"));
        assert!(answer["kind"] != "Status" || answer["status"] == "Success", "{method} {path}: {answer:#}");
        answer
    }

    /// Says of the Deployment at `path` what the controllers would: all replicas are as it wants them.
    pub(crate) fn roll_out(&self, path: &str) {
        let deployment = self.ask("GET", path, None);
        let generation = &deployment["metadata"]["generation"];
        if deployment["status"]["observedGeneration"] != *generation {
            let replicas = &deployment["spec"]["replicas"];
            let status = json!({ "status": {
                "observedGeneration": generation, "replicas": replicas, "updatedReplicas": replicas,
                "readyReplicas": replicas, "availableReplicas": replicas } });
            self.ask("PATCH", &format!("{path}/status"), Some(&status));
        }
    }

    fn authority(&self) -> PathBuf {
        self.folder.path().join("certs/apiserver.crt")
    }

    fn try_ask(&self, method: &str, path: &str, body: Option<&Value>) -> Option<Value> {
        let mut curl = Command::new("curl");
        curl.args(["-s", "--max-time", "10", "-X", method, "-H", "authorization: Bearer admin", "--cacert"]);
        curl.arg(self.authority()).arg(format!("https://127.0.0.1:{}{path}", self.port));
        if let Some(body) = body {
            let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
            curl.args(["-H", &format!("content-type: {kind}"), "--data-binary", &body.to_string()]);
        }
        let output = curl.output().expect("curl starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if text == "ok" { Some(json!("ok")) } else { serde_json::from_str(&text).ok() }
    }
}

impl Drop for Apiserver {
    fn drop(&mut self) {
        // The server first: without its etcd it would complain.
        for child in self.children.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn spawn(mut command: Command, log: &Path) -> Child {
    let log = File::create(log).unwrap();
    let child = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn();
    let child = child.unwrap_or_else(|error| panic!("{:?}: {error}", command.get_program()));
    guardian::ends_with_us(child.id(), "KILL");
    child
}
