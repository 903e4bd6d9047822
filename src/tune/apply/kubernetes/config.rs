//! Where the cluster is and who asks: kubeconfig as `kubectl` reads it, else the pod's own account.

use super::tls::Identity;
use crate::plan::{Kind, Node, plain_yaml};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::path::{Path, PathBuf};
use thiserror::Error;
use url::Url;

/// A cluster and who asks it.
#[derive(Clone)]
pub struct Cluster {
    pub(super) server: Url,
    /// The authorities that sign for it; none: the system's.
    pub(super) authorities: Option<Vec<CertificateDer<'static>>>,
    /// Whether its certificate goes unchecked.
    pub(super) unchecked: bool,
    /// The name its certificate is for, where that is another.
    pub(super) server_name: Option<String>,
    pub(super) identity: Option<Identity>,
    pub(super) token: Token,
}

/// What stands in `Authorization`.
#[derive(Clone)]
pub(super) enum Token {
    None,
    Given(String),
    /// Read anew for each request: they are exchanged.
    File(PathBuf),
    /// Printed by a program.
    Program(Program),
}

/// A program that prints credentials.
#[derive(Clone)]
pub(super) struct Program {
    pub(super) command: String,
    pub(super) arguments: Vec<String>,
    pub(super) environment: Vec<(String, String)>,
    pub(super) version: String,
}

/// Why there is no cluster to ask.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// No kubeconfig, and not in a pod.
    #[error("there is no kubeconfig (KUBECONFIG, ~/.kube/config), and this is no pod")]
    None,
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A part of the kubeconfig is missing or wrong.
    #[error("the kubeconfig {}: {what}", path.display())]
    Wrong {
        /// Which.
        path: PathBuf,
        /// What.
        what: String,
    },
}

/// Where a pod finds its account.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

// === impl Cluster ===

impl Cluster {
    /// The cluster that `kubectl` would ask here; in a pod without a kubeconfig its own.
    ///
    /// # Errors
    /// Where there is none, or what says so is wrong.
    pub fn here() -> Result<Self, ConfigError> {
        let named = std::env::var_os("KUBECONFIG").filter(|paths| !paths.is_empty());
        let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".kube/config"));
        let paths: Vec<PathBuf> = match &named {
            Some(paths) => std::env::split_paths(paths).filter(|path| !path.as_os_str().is_empty()).collect(),
            None => home.into_iter().collect(),
        };
        if let Some(path) = paths.iter().find(|path| path.exists()) {
            let text = read(path)?;
            return Self::of_kubeconfig(path, &String::from_utf8_lossy(&text));
        }
        match named {
            Some(_) => {
                let path = paths.into_iter().next().unwrap_or_default();
                Err(ConfigError::File { path, source: std::io::Error::from(std::io::ErrorKind::NotFound) })
            }
            None => Self::of_pod(),
        }
    }

    fn of_pod() -> Result<Self, ConfigError> {
        let variable = |name| std::env::var(name).ok().filter(|text: &String| !text.is_empty());
        let host = variable("KUBERNETES_SERVICE_HOST").ok_or(ConfigError::None)?;
        let port = variable("KUBERNETES_SERVICE_PORT").unwrap_or_else(|| "443".to_owned());
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let account = Path::new(ACCOUNT);
        let wrong = |what: String| ConfigError::Wrong { path: account.to_owned(), what };
        Ok(Self {
            server: Url::parse(&format!("https://{host}:{port}")).map_err(|error| wrong(error.to_string()))?,
            authorities: Some(
                certificates(&read(&account.join("ca.crt"))?).ok_or_else(|| wrong("ca.crt is no PEM".to_owned()))?,
            ),
            unchecked: false,
            server_name: None,
            identity: None,
            token: Token::File(account.join("token")),
        })
    }

    /// Reads a kubeconfig; relative files are beside it.
    fn of_kubeconfig(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let wrong = |what: &str| ConfigError::Wrong { path: path.to_owned(), what: what.to_owned() };
        let config = plain_yaml(text).ok_or_else(|| wrong("it is no YAML"))?;
        let current = text_at(&config, "current-context").ok_or_else(|| wrong("it has no current-context"))?;
        let context =
            named(&config, "contexts", &current, "context").ok_or_else(|| wrong("its current-context is not there"))?;
        let cluster = text_at(context, "cluster").and_then(|name| named(&config, "clusters", &name, "cluster"));
        let cluster = cluster.ok_or_else(|| wrong("the context's cluster is not there"))?;
        let nobody = Node { span: crate::plan::Span::NONE, kind: Kind::Null };
        let user = text_at(context, "user").and_then(|name| named(&config, "users", &name, "user")).unwrap_or(&nobody);
        let beside = |file: String| path.parent().unwrap_or(Path::new(".")).join(file);
        // Data stands before a file, as in kubectl.
        let material = |node: &Node, key: &str| -> Result<Option<Vec<u8>>, ConfigError> {
            if let Some(data) = text_at(node, &format!("{key}-data")).filter(|data| !data.is_empty()) {
                return STANDARD.decode(data.trim()).map(Some).map_err(|_| wrong(&format!("{key}-data is no base64")));
            }
            text_at(node, key).filter(|file| !file.is_empty()).map(|file| read(&beside(file))).transpose()
        };
        let server = text_at(cluster, "server").ok_or_else(|| wrong("the cluster has no server"))?;
        let authorities = match material(cluster, "certificate-authority")? {
            Some(pem) => Some(certificates(&pem).ok_or_else(|| wrong("certificate-authority is no PEM"))?),
            None => None,
        };
        let identity = match (material(user, "client-certificate")?, material(user, "client-key")?) {
            (Some(certificate), Some(key)) => {
                Some(Identity::of_pem(&certificate, &key).ok_or_else(|| wrong("the client's certificate is no PEM"))?)
            }
            _ => None,
        };
        let token = match (text_at(user, "token"), text_at(user, "tokenFile"), at(user, "exec")) {
            (_, Some(file), _) if !file.is_empty() => Token::File(beside(file)),
            (Some(token), _, _) if !token.is_empty() => Token::Given(token),
            (_, _, Some(exec)) => {
                Token::Program(Program::read(exec).ok_or_else(|| wrong("the user's exec has no command"))?)
            }
            _ if at(user, "auth-provider").is_some() => {
                return Err(wrong("the user's auth-provider is gone from Kubernetes: use exec or a token"));
            }
            _ => Token::None,
        };
        Ok(Self {
            server: Url::parse(&server).map_err(|_| wrong("the cluster's server is no URL"))?,
            authorities,
            unchecked: at(cluster, "insecure-skip-tls-verify").is_some_and(|node| node.kind == Kind::Bool(true)),
            server_name: text_at(cluster, "tls-server-name").filter(|name| !name.is_empty()),
            identity,
            token,
        })
    }
}

impl std::fmt::Debug for Cluster {
    /// The address only.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("server", &self.server.host_str()).finish_non_exhaustive()
    }
}

// === impl Program ===

impl Program {
    fn read(node: &Node) -> Option<Self> {
        let list = |key| match at(node, key).map(|node| &node.kind) {
            Some(Kind::List(items)) => items.clone(),
            _ => Vec::new(),
        };
        let variable = |item: &Node| Some((text_at(item, "name")?, text_at(item, "value")?));
        Some(Self {
            command: text_at(node, "command")?,
            arguments: list("args").iter().filter_map(scalar).collect(),
            environment: list("env").iter().filter_map(variable).collect(),
            version: text_at(node, "apiVersion").unwrap_or_else(|| "client.authentication.k8s.io/v1".to_owned()),
        })
    }
}

// === helpers ===

/// The namespace and the name of the pod that this process is in, by what Kubernetes gives every pod.
pub(super) fn own_pod() -> Option<(String, String)> {
    let variable = |name| std::env::var(name).ok().filter(|text: &String| !text.is_empty());
    variable("KUBERNETES_SERVICE_HOST")?;
    let of_account = || std::fs::read_to_string(Path::new(ACCOUNT).join("namespace")).ok();
    let namespace = of_account().or_else(|| variable("POD_NAMESPACE"))?;
    Some((namespace.trim().to_owned(), variable("POD_NAME").or_else(|| variable("HOSTNAME"))?))
}

fn read(path: &Path) -> Result<Vec<u8>, ConfigError> {
    std::fs::read(path).map_err(|source| ConfigError::File { path: path.to_owned(), source })
}

fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem).flatten().collect();
    (!found.is_empty()).then_some(found)
}

fn at<'a>(node: &'a Node, key: &str) -> Option<&'a Node> {
    match &node.kind {
        Kind::Map(entries) => entries.iter().find(|(name, _)| name.value == key).map(|(_, node)| node),
        _ => None,
    }
    .filter(|node| node.kind != Kind::Null)
}

fn text_at(node: &Node, key: &str) -> Option<String> {
    at(node, key).and_then(scalar)
}

fn scalar(node: &Node) -> Option<String> {
    match &node.kind {
        Kind::Text(text) => Some(text.clone()),
        Kind::Int(number) => Some(number.to_string()),
        Kind::Float(number) => Some(number.to_string()),
        Kind::Bool(value) => Some(value.to_string()),
        Kind::Null | Kind::List(_) | Kind::Map(_) => None,
    }
}

/// The `inner` of the entry of a list that has this name.
fn named<'a>(config: &'a Node, list: &str, name: &str, inner: &str) -> Option<&'a Node> {
    let Kind::List(items) = &at(config, list)?.kind else { return None };
    at(items.iter().find(|item| text_at(item, "name").as_deref() == Some(name))?, inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    const CONFIG: &str = "
apiVersion: v1
kind: Config
current-context: there
contexts:
- { name: here, context: { cluster: a, user: a } }
- { name: there, context: { cluster: b, user: b, namespace: x } }
clusters:
- { name: a, cluster: { server: https://a } }
- { name: b, cluster: { server: 'https://b:6443', insecure-skip-tls-verify: true, tls-server-name: c } }
users:
- { name: b, user: { USER } }
";

    fn cluster(user: &str) -> Result<Cluster, ConfigError> {
        Cluster::of_kubeconfig(Path::new("/k/config"), &CONFIG.replace("USER", user))
    }

    #[test]
    fn the_current_context_says_where_and_who() {
        let found = cluster("token: 'a${b}'").unwrap();
        assert_eq!((found.server.as_str(), found.unchecked), ("https://b:6443/", true));
        assert_eq!(found.server_name.as_deref(), Some("c"));
        assert!(matches!(found.token, Token::Given(token) if token == "a${b}"), "nothing is filled in");
        assert!(matches!(cluster("tokenFile: t").unwrap().token, Token::File(path) if path == Path::new("/k/t")));
        assert!(matches!(cluster("").unwrap().token, Token::None));
        let exec = "exec: { command: aws, args: [eks, 1], env: [{ name: A, value: b }], apiVersion: v }";
        let Token::Program(program) = cluster(exec).unwrap().token else { panic!() };
        assert_eq!((program.command.as_str(), program.arguments), ("aws", vec!["eks".to_owned(), "1".to_owned()]));
        assert_eq!((program.environment, program.version.as_str()), (vec![("A".to_owned(), "b".to_owned())], "v"));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let told = |user: &str| cluster(user).unwrap_err().to_string();
        assert!(told("client-certificate-data: '%'").ends_with("client-certificate-data is no base64"));
        assert!(told("client-key: absent").ends_with("absent cannot be read"));
        assert!(told("auth-provider: { name: gcp }").contains("auth-provider is gone"));
        let path = Path::new("c");
        for (text, part) in [
            ("{", "is no YAML"),
            ("a: 1", "no current-context"),
            ("current-context: x", "current-context is not there"),
            ("current-context: x\ncontexts: [{ name: x, context: { cluster: y } }]", "cluster is not there"),
        ] {
            let told = Cluster::of_kubeconfig(path, text).unwrap_err().to_string();
            assert!(told.contains(part), "{told}");
        }
    }
}
