//! Knobs in a Deployment's environment: patched, waited for, put back; and what is refused.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::apiserver::Apiserver;
use crate::support::cluster::Cluster;
use crate::support::pooled::Pooled;
use crate::support::{Pacecar, PlanFile};

fn plan(port: u16, tune: &str) -> PlanFile {
    PlanFile::new(format!(
        "\
name: tuned
environment: dev
base_url: http://127.0.0.1:{port}
workflow: [{{ name: work, request: GET /work }}]
scenarios: {{ paced: {{ executor: constant-arrival-rate, rate: 20, duration: 1m, preAllocatedVUs: 20 }} }}
tune:
  trial: {{ warmup: 200ms, duration: 800ms }}
  apply: {{ kubernetes: {{ namespace: staging, deployment: api, container: web, within: 20s }} }}
{tune}"
    ))
}

fn tune(plan: &PlanFile, cluster: &Cluster) -> Pacecar {
    let kubeconfig = plan.folder().join("kubeconfig");
    cluster.kubeconfig(&kubeconfig);
    let result = plan.folder().join("result.json");
    Pacecar::new(["tune"])
        .arg(&*plan.path())
        .arg("--result")
        .arg(result)
        .env("KUBECONFIG", kubeconfig)
        .without("KUBERNETES_SERVICE_HOST")
}

const TWO: &str = "  knobs: { PG_POOL_MAX: [2] }\n  original: { PG_POOL_MAX: 4 }\n  budget: { trials: 6 }\n";

#[test]
fn a_deployment_is_patched_rolled_out_and_put_back() {
    let api = Pooled::start("4", &[]);
    let cluster = Cluster::start(json!([{ "name": "OTHER", "value": "x" }, { "name": "PG_POOL_MAX", "value": "4" }]));
    let plan = plan(api.port, TWO);
    let ended = tune(&plan, &cluster).end();
    let state = cluster.state.lock().unwrap();
    assert!(state.patched.iter().any(|value| value == "2"), "{ended}");
    assert_eq!(state.patched.last().map(String::as_str), Some("4"), "{ended}");
    assert_eq!(state.value("PG_POOL_MAX"), Some(json!({ "name": "PG_POOL_MAX", "value": "4" })));
    assert_eq!(state.value("OTHER"), Some(json!({ "name": "OTHER", "value": "x" })));
    let (_, path, kind, body) = state.heard.iter().rev().find(|(method, ..)| method == "PATCH").expect("a patch");
    assert!(path.ends_with("?fieldManager=pacecar"), "{path}");
    assert_eq!(kind, "application/strategic-merge-patch+json");
    assert_eq!(body["spec"]["template"]["spec"]["containers"][0]["name"], "web");
    let result: Value =
        serde_json::from_slice(&std::fs::read(plan.folder().join("result.json")).expect("a result")).unwrap();
    let trials = result["trials"].as_array().unwrap();
    assert!(trials.iter().filter(|trial| trial["error"].is_null()).count() >= 3, "{result:#}");
    assert!(!plan.folder().join("plan.yaml.tune").exists());
}

#[test]
fn what_came_from_a_config_map_comes_from_there_again() {
    let api = Pooled::start("4", &[]);
    let reference = json!({ "name": "PG_POOL_MAX", "valueFrom": { "configMapKeyRef": { "name": "c", "key": "k" } } });
    let cluster = Cluster::start(json!([reference]));
    let ended = tune(&plan(api.port, TWO), &cluster).end();
    let state = cluster.state.lock().unwrap();
    assert!(state.patched.iter().any(|value| value == "2"), "{ended}");
    assert_eq!(state.value("PG_POOL_MAX"), Some(reference));
}

#[test]
fn a_signal_puts_the_deployment_back_without_waiting_for_its_rollout() {
    let api = Pooled::start("4", &[]);
    let cluster = Cluster::start(json!([{ "name": "PG_POOL_MAX", "value": "4" }]));
    let plan = plan(api.port, TWO);
    let running = tune(&plan, &cluster).start();
    let begun = Instant::now();
    while !cluster.state.lock().unwrap().patched.iter().any(|value| value == "2") {
        assert!(begun.elapsed() < Duration::from_secs(40), "nothing is patched");
        thread::sleep(Duration::from_millis(20));
    }
    cluster.state.lock().unwrap().stuck = true;
    let asked = Instant::now();
    running.signal(Signal::TERM);
    let ended = running.end().expect_code(105);
    assert!(asked.elapsed() < Duration::from_secs(15), "{ended}");
    assert_eq!(cluster.state.lock().unwrap().patched.last().map(String::as_str), Some("4"), "{ended}");
}

#[test]
fn a_rollout_that_does_not_go_on_is_a_failed_trial() {
    let api = Pooled::start("4", &[]);
    let cluster = Cluster::start(json!([{ "name": "PG_POOL_MAX", "value": "4" }]));
    cluster.state.lock().unwrap().stuck = true;
    let ended = tune(&plan(api.port, TWO), &cluster).end();
    assert!(ended.stderr.contains("has timed out progressing"), "{ended}");
}

#[test]
fn what_cannot_be_tuned_is_refused_before_anything_is_set() {
    let api = Pooled::start("4", &[]);
    let refused = |cluster: &Cluster, change: &dyn Fn(Pacecar) -> Pacecar, text: &dyn Fn(String) -> String| {
        let plan = plan(api.port, TWO);
        let written = std::fs::read_to_string(plan.path()).unwrap();
        std::fs::write(plan.path(), text(written)).unwrap();
        let ended = change(tune(&plan, cluster)).end().expect_code(121);
        assert!(cluster.state.lock().unwrap().patched.is_empty(), "{ended}");
        ended.stderr
    };
    let cluster = Cluster::start(json!([]));
    let same = |text: String| text;
    let as_is = |pacecar: Pacecar| pacecar;
    let told = refused(&cluster, &as_is, &|text| text.replace("container: web", "container: api"));
    assert!(told.contains("has no container api; it has: pacecar, web"), "{told}");
    let told = refused(&cluster, &as_is, &|text| text.replace("deployment: api", "deployment: absent"));
    assert!(told.contains("Kubernetes answers 404"), "{told}");
    let forbids = Cluster::start(json!([{ "name": "PG_POOL_MAX", "value": "4" }]));
    forbids.state.lock().unwrap().forbids = true;
    let told = refused(&forbids, &as_is, &same);
    assert!(told.contains("cannot patch resource"), "{told}");
    assert!(told.contains("a Role with get and patch on deployments.apps allows it"), "{told}");
    assert!(!told.contains("the-token"), "{told}");
    let nowhere = |pacecar: Pacecar| pacecar.env("KUBECONFIG", "/nowhere/config");
    assert!(refused(&cluster, &nowhere, &same).contains("/nowhere/config cannot be read"));
    let own = |pacecar: Pacecar| {
        let pod = pacecar.env("KUBERNETES_SERVICE_HOST", "10.0.0.1").env("POD_NAMESPACE", "staging");
        pod.env("POD_NAME", "api-6d4b75cb6d-hxk2p")
    };
    let told = refused(&cluster, &own, &same);
    assert!(told.contains("pacecar runs in a pod of the Deployment api"), "{told}");
}

const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/staging/deployments/api";

/// Makes the namespace, the Deployment and the roles in a real apiserver.
fn furnish(server: &Apiserver) {
    let meta = |name: &str| json!({ "name": name, "namespace": "staging" });
    server.ask("POST", "/api/v1/namespaces", Some(&json!({ "metadata": { "name": "staging" } })));
    let env = json!([
        { "name": "OTHER", "value": "x" },
        { "name": "PG_POOL_MAX", "value": "4" },
        { "name": "UV_THREADPOOL_SIZE", "valueFrom": { "configMapKeyRef": { "name": "c", "key": "k" } } },
    ]);
    let deployment = json!({ "metadata": meta("api"), "spec": { "replicas": 2, "selector": { "matchLabels": { "a": "b" } },
        "template": { "metadata": { "labels": { "a": "b" } }, "spec": { "containers": [
            { "name": "pacecar", "image": "b" }, { "name": "web", "image": "a", "env": env }] } } } });
    server.ask("POST", "/apis/apps/v1/namespaces/staging/deployments", Some(&deployment));
    for (user, verbs) in [("tuner", json!(["get", "patch"])), ("looker", json!(["get"]))] {
        let rules =
            json!([{ "apiGroups": ["apps"], "resources": ["deployments"], "resourceNames": ["api"], "verbs": verbs }]);
        let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/staging";
        server.ask("POST", &format!("{rbac}/roles"), Some(&json!({ "metadata": meta(user), "rules": rules })));
        let binding = json!({ "metadata": meta(user),
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": user },
            "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user }] });
        server.ask("POST", &format!("{rbac}/rolebindings"), Some(&binding));
    }
}

#[test]
#[ignore = "needs a real kube-apiserver: make e2e"]
fn real_kubernetes_is_patched_waited_for_and_put_back() {
    let server = Apiserver::start();
    furnish(&server);
    let api = Pooled::start("4", &[]);
    let plan = plan(
        api.port,
        "  knobs: { PG_POOL_MAX: [2], UV_THREADPOOL_SIZE: [8] }\n  original: { PG_POOL_MAX: 4, UV_THREADPOOL_SIZE: 4 }\n  \
         budget: { trials: 6 }\n",
    );
    let kubeconfig = plan.folder().join("kubeconfig");
    let result = plan.folder().join("result.json");
    let tune = |user: &str| {
        server.kubeconfig(&kubeconfig, user);
        let tune = Pacecar::new(["tune"]).arg(&*plan.path()).arg("--result").arg(&result);
        tune.env("KUBECONFIG", &kubeconfig).without("KUBERNETES_SERVICE_HOST")
    };
    let before = server.ask("GET", DEPLOYMENT, None);
    let env = "/spec/template/spec/containers/1/env";

    let ended = tune("looker").end().expect_code(121);
    assert!(ended.stderr.contains("cannot patch resource"), "{ended}");
    let ended = tune("nobody").end().expect_code(121);
    assert!(ended.stderr.contains("401"), "{ended}");
    assert_eq!(server.ask("GET", DEPLOYMENT, None)["metadata"]["generation"], before["metadata"]["generation"]);

    let (stop, stopped) = mpsc::channel::<()>();
    let ended = thread::scope(|scope| {
        let server = &server;
        scope.spawn(move || {
            while stopped.recv_timeout(Duration::from_millis(100)) == Err(mpsc::RecvTimeoutError::Timeout) {
                server.roll_out(DEPLOYMENT);
            }
        });
        let ended = tune("tuner").limit(Duration::from_secs(120)).end();
        drop(stop);
        ended
    });
    let after = server.ask("GET", DEPLOYMENT, None);
    assert_eq!(after.pointer(env), before.pointer(env), "{ended}");
    assert!(after["metadata"]["generation"].as_i64() >= Some(3), "{after:#}");
    let result: Value = serde_json::from_slice(&std::fs::read(result).expect("a result")).unwrap();
    let trials = result["trials"].as_array().unwrap();
    assert!(trials.iter().all(|trial| trial["error"].is_null() || trial["valid"] == false), "{result:#}");
    assert!(trials.iter().any(|trial| trial["knobs"]["PG_POOL_MAX"] == "2"), "{ended}");
}
