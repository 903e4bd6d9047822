//! The environment of a Deployment's container: patched, and waited for until every replica has it.
//!
//! Kubernetes' API is four requests of JSON here. The usual client would bring forty crates for them.

mod api;
mod config;
mod deployment;
mod tls;

pub use config::{Cluster, ConfigError};

use super::output::Secrets;
use crate::plan::KubernetesDocument;
use crate::tune::Setting;
use api::{Api, ApiError};
use deployment::{Rollout, container_env, patch};
use http::Method;
use serde_json::{Map, Value, json};
use std::time::Duration;
use thiserror::Error;
use tokio::time::{Instant, sleep};

/// A container of a Deployment.
#[derive(Debug)]
pub struct Deployment {
    api: Api,
    namespace: String,
    name: String,
    container: String,
    /// How long a rollout may take.
    within: Duration,
    /// Entries of the environment that come from elsewhere, by knob, as they stood before they were first set.
    references: Map<String, Value>,
}

/// Why a Deployment cannot be tuned, or was not set.
#[derive(Debug, Error)]
pub enum DeploymentError {
    /// The API of Kubernetes.
    #[error("{0}")]
    Api(#[from] ApiError),
    /// There is no such container.
    #[error("the Deployment {deployment} has no container {container}; it has: {known}")]
    Container {
        /// The Deployment.
        deployment: String,
        /// What was asked for.
        container: String,
        /// What it has.
        known: String,
    },
    /// It is our own.
    #[error("pacecar runs in a pod of the Deployment {0}: to set its environment would end pacecar itself")]
    Own(String),
    /// The rollout failed.
    #[error("the rollout of {deployment} does not go on: {why}")]
    Stuck {
        /// The Deployment.
        deployment: String,
        /// Kubernetes' words.
        why: String,
    },
    /// The rollout takes too long.
    #[error("the rollout of {deployment} was not through within {}: {why}", humantime::format_duration(*within))]
    Late {
        /// The Deployment.
        deployment: String,
        /// The time it had.
        within: Duration,
        /// What it was waiting for.
        why: String,
    },
}

/// How often a rollout is looked at.
const POLL: Duration = Duration::from_millis(500);

// === impl Deployment ===

impl Deployment {
    /// What a plan means, in this cluster.
    #[must_use]
    pub fn new(document: &KubernetesDocument, cluster: Cluster, secrets: Secrets) -> Self {
        Self {
            api: Api::new(cluster, secrets),
            namespace: document.namespace.value.clone(),
            name: document.deployment.value.clone(),
            container: document.container.value.clone(),
            within: document.within.value,
            references: Map::new(),
        }
    }

    /// Asks whether it can be tuned at all: it is there, it has the container, it is not our own, and it may be patched.
    ///
    /// # Errors
    /// Where it cannot.
    pub async fn admit(&mut self, knobs: impl Iterator<Item = &str>) -> Result<(), DeploymentError> {
        if self.is_own().await {
            return Err(DeploymentError::Own(self.name.clone()));
        }
        let deployment = self.get().await?;
        let env = container_env(&deployment, &self.container).map_err(|known| DeploymentError::Container {
            deployment: self.name.clone(),
            container: self.container.clone(),
            known,
        })?;
        for knob in knobs {
            let entry = env.iter().find(|entry| entry["name"] == knob);
            if let Some(reference) = entry.and_then(|entry| entry.get("valueFrom")) {
                self.references.insert(knob.to_owned(), reference.clone());
            }
        }
        // Whether it may be patched, without patching it.
        let path = format!("{}?fieldManager=pacecar&dryRun=All", self.path());
        self.api.ask(Method::PATCH, &path, Some(&json!({ "spec": {} }))).await?;
        Ok(())
    }

    /// Sets these values and waits until every replica has them.
    ///
    /// # Errors
    /// Where they cannot be set, or the rollout is not through in time.
    pub async fn apply(&self, setting: &Setting) -> Result<(), DeploymentError> {
        let patched = self.patch(setting, &Map::new()).await?;
        self.wait(patched["metadata"]["generation"].as_i64().unwrap_or(0)).await
    }

    /// Puts the original back; what came from elsewhere comes from there again. Waits for the rollout unless `soon`.
    ///
    /// # Errors
    /// Where it cannot be put back, or the rollout is not through in time.
    pub async fn restore(&self, original: &Setting, soon: bool) -> Result<(), DeploymentError> {
        let patched = self.patch(original, &self.references).await?;
        if soon {
            return Ok(());
        }
        self.wait(patched["metadata"]["generation"].as_i64().unwrap_or(0)).await
    }

    async fn patch(&self, setting: &Setting, references: &Map<String, Value>) -> Result<Value, ApiError> {
        let body = patch(&self.container, setting, references);
        let path = format!("{}?fieldManager=pacecar", self.path());
        self.api.ask(Method::PATCH, &path, Some(&body)).await
    }

    async fn get(&self) -> Result<Value, ApiError> {
        self.api.ask(Method::GET, &self.path(), None).await
    }

    fn path(&self) -> String {
        format!("/apis/apps/v1/namespaces/{}/deployments/{}", self.namespace, self.name)
    }

    /// Waits until the rollout of `generation`, or of a later one, is through.
    async fn wait(&self, generation: i64) -> Result<(), DeploymentError> {
        let until = Instant::now() + self.within;
        loop {
            let why = match self.get().await {
                Ok(deployment) => match Rollout::of(&deployment, generation) {
                    Rollout::Through => return Ok(()),
                    Rollout::Stuck(why) => {
                        return Err(DeploymentError::Stuck { deployment: self.name.clone(), why });
                    }
                    Rollout::Waiting(why) => why,
                },
                // What is refused now will be refused again; a broken connection may be another in a moment.
                Err(error) if error.is_final() => return Err(error.into()),
                Err(error) => error.to_string(),
            };
            if Instant::now() + POLL > until {
                let (deployment, within) = (self.name.clone(), self.within);
                return Err(DeploymentError::Late { deployment, within, why });
            }
            sleep(POLL).await;
        }
    }

    /// Whether this process is in a pod of the Deployment: by the pod's owner, and where that may not be read, by its
    /// name.
    async fn is_own(&self) -> bool {
        let Some((namespace, pod)) = config::own_pod() else { return false };
        if namespace != self.namespace {
            return false;
        }
        let owner = |object: &Value, kind: &str| {
            let owners = object["metadata"]["ownerReferences"].as_array()?;
            let owner = owners.iter().find(|owner| owner["kind"] == kind)?;
            owner["name"].as_str().map(str::to_owned)
        };
        let asked = async {
            let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}");
            let set = owner(&self.api.ask(Method::GET, &path, None).await.ok()?, "ReplicaSet")?;
            let path = format!("/apis/apps/v1/namespaces/{namespace}/replicasets/{set}");
            owner(&self.api.ask(Method::GET, &path, None).await.ok()?, "Deployment")
        };
        match asked.await {
            Some(owner) => owner == self.name,
            None => deployment::is_pod_of(&pod, &self.name),
        }
    }
}
