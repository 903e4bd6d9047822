//! What is said to Kubernetes of a Deployment, and read of it. Plain data.

use crate::tune::Setting;
use serde_json::{Map, Value, json};

/// How far a rollout has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rollout {
    /// Every replica has it.
    Through,
    /// Not yet: what it waits for.
    Waiting(String),
    /// It has given up: why.
    Stuck(String),
}

/// A strategic merge patch that sets these values in a container's environment. Where `references` has a knob, its value
/// comes from there instead.
pub(super) fn patch(container: &str, setting: &Setting, references: &Map<String, Value>) -> Value {
    let env: Vec<Value> = setting
        .iter()
        .map(|(knob, value)| match references.get(knob) {
            // An entry has one of the two: null takes the other away.
            Some(reference) => json!({ "name": knob, "value": null, "valueFrom": reference }),
            None => json!({ "name": knob, "value": value, "valueFrom": null }),
        })
        .collect();
    json!({ "spec": { "template": { "spec": { "containers": [{ "name": container, "env": env }] } } } })
}

/// The environment of a container; where there is none of that name, those that there are.
pub(super) fn container_env(deployment: &Value, container: &str) -> Result<Vec<Value>, String> {
    let containers = deployment.pointer("/spec/template/spec/containers").and_then(Value::as_array);
    let containers = containers.map(Vec::as_slice).unwrap_or_default();
    match containers.iter().find(|known| known["name"] == container) {
        Some(found) => Ok(found["env"].as_array().cloned().unwrap_or_default()),
        None => Err(containers.iter().filter_map(|known| known["name"].as_str()).collect::<Vec<_>>().join(", ")),
    }
}

/// Whether a pod's name is one that a Deployment of this name gives: `NAME-SET-POD`.
pub(super) fn is_pod_of(pod: &str, deployment: &str) -> bool {
    let Some(rest) = pod.strip_prefix(deployment).and_then(|rest| rest.strip_prefix('-')) else { return false };
    let word = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    rest.split_once('-').is_some_and(|(set, pod)| word(set) && word(pod))
}

// === impl Rollout ===

impl Rollout {
    /// As `kubectl rollout status` judges it, of this generation or a later one.
    pub(super) fn of(deployment: &Value, generation: i64) -> Self {
        let status = &deployment["status"];
        let count = |key: &str| status[key].as_i64().unwrap_or(0);
        if count("observedGeneration") < generation {
            return Self::Waiting("the change has not been seen yet".to_owned());
        }
        let conditions = status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
        let progressing = conditions.iter().find(|condition| condition["type"] == "Progressing");
        if let Some(condition) = progressing.filter(|condition| condition["reason"] == "ProgressDeadlineExceeded") {
            return Self::Stuck(condition["message"].as_str().unwrap_or("ProgressDeadlineExceeded").to_owned());
        }
        let wanted = deployment["spec"]["replicas"].as_i64().unwrap_or(1);
        let (updated, available, all) = (count("updatedReplicas"), count("availableReplicas"), count("replicas"));
        if updated < wanted {
            Self::Waiting(format!("{updated} of {wanted} replicas are new"))
        } else if all > updated {
            Self::Waiting(format!("{} old replicas are to end", all - updated))
        } else if available < updated {
            Self::Waiting(format!("{available} of {updated} new replicas are available"))
        } else {
            Self::Through
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_the_environment_has_a_value_or_a_reference() {
        let setting: Setting = [("A", "1"), ("B", "2")].into_iter().collect();
        let reference = json!({ "configMapKeyRef": { "name": "c", "key": "k" } });
        let references: Map<String, Value> = [("B".to_owned(), reference.clone())].into_iter().collect();
        let body = patch("api", &setting, &references);
        let container = &body["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["name"], "api");
        assert_eq!(container["env"][0], json!({ "name": "A", "value": "1", "valueFrom": null }));
        assert_eq!(container["env"][1], json!({ "name": "B", "value": null, "valueFrom": reference }));
    }

    #[test]
    fn a_rollout_is_through_when_all_replicas_are_new_and_available() {
        let at = |observed: i64, updated: i64, available: i64, all: i64| {
            json!({ "spec": { "replicas": 3 }, "status": {
                "observedGeneration": observed, "updatedReplicas": updated, "availableReplicas": available, "replicas": all } })
        };
        let waiting = |deployment: Value| matches!(Rollout::of(&deployment, 5), Rollout::Waiting(_));
        assert!(waiting(at(4, 3, 3, 3)), "the generation of before");
        assert!(waiting(at(5, 2, 2, 4)) && waiting(at(5, 3, 3, 4)) && waiting(at(5, 3, 2, 3)));
        assert_eq!(Rollout::of(&at(5, 3, 3, 3), 5), Rollout::Through);
        assert_eq!(Rollout::of(&at(6, 3, 3, 3), 5), Rollout::Through, "somebody else changed it since");
        let mut stuck = at(5, 1, 0, 4);
        stuck["status"]["conditions"] =
            json!([{ "type": "Progressing", "reason": "ProgressDeadlineExceeded", "message": "timed out" }]);
        assert_eq!(Rollout::of(&stuck, 5), Rollout::Stuck("timed out".to_owned()));
        let none = json!({ "spec": { "replicas": 0 }, "status": { "observedGeneration": 5 } });
        assert_eq!(Rollout::of(&none, 5), Rollout::Through);
    }

    #[test]
    fn a_container_is_found_or_the_others_are_named() {
        let deployment = json!({ "spec": { "template": { "spec": { "containers": [
            { "name": "api", "env": [{ "name": "A", "value": "1" }] }, { "name": "pacecar" }] } } } });
        assert_eq!(container_env(&deployment, "api").map(|env| env.len()), Ok(1));
        assert_eq!(container_env(&deployment, "pacecar").map(|env| env.len()), Ok(0));
        assert_eq!(container_env(&deployment, "web"), Err("api, pacecar".to_owned()));
        assert_eq!(container_env(&json!({}), "web"), Err(String::new()));
    }

    #[test]
    fn a_pod_is_known_by_its_name() {
        assert!(is_pod_of("api-6d4b75cb6d-hxk2p", "api"));
        for other in ["api-6d4b75cb6d", "api", "api-v2-6d4b75cb6d-hxk2p", "apix-6d4b75cb6d-hxk2p", "api--hxk2p"] {
            assert!(!is_pod_of(other, "api"), "{other}");
        }
    }
}
