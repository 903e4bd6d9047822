//! Where a run's files go and results come from: a path, `file://`, or an object store (`s3://`, `gs://`, `az://`).
//!
//! An address is read before anything is sent, so that a typo costs no run. What talks to a store does so on a thread of
//! its own, with a bound on time, when the run is over: a store that is slow or gone delays nothing but its own file.
//! Who we are comes from the variables that the stores' own tools read; nothing of it is ever told.

mod http;

use self::http::Connector;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, RetryConfig};
use std::fmt;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use thiserror::Error;
use url::Url;

/// Where a file is, or is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// On this machine.
    File(PathBuf),
    /// In a store.
    Object {
        /// Which store.
        kind: Kind,
        /// As it was given.
        url: Url,
    },
}

/// The stores that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    S3,
    Gcs,
    Azure,
}

/// Why a text is no place.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum PlaceError {
    #[error("{0}:// is no address that files go to; it is a path, file://, s3://, gs:// or az://")]
    Scheme(String),
    #[error("{0:?} is no address")]
    Malformed(String),
    #[error("{0:?} names no file")]
    NoFile(String),
    #[error("{0:?} has a user or a password in it; {1}")]
    Secret(String, &'static str),
}

/// Why a file could not be written or read.
#[derive(Debug, Error)]
pub(crate) enum StoreError {
    #[error(transparent)]
    File(#[from] io::Error),
    #[error("the store cannot be used: {0}")]
    Settings(Brief),
    #[error("the store did not take it: {0}")]
    Put(Brief),
    #[error("the store does not give it: {0}")]
    Get(Brief),
    #[error("the store did not answer within {} s", LONGEST.as_secs())]
    Timeout,
    #[error("it is larger than any result")]
    TooLarge,
}

/// What a store said, in one line: its answers are pages of XML, told again by each error around them.
#[derive(Debug)]
pub(crate) struct Brief(String);

/// How long a store may take for one file, retries included.
const LONGEST: Duration = Duration::from_secs(60);
/// How long it is asked again.
const RETRIES: Duration = Duration::from_secs(30);
/// Characters of what a store said.
const MOST_TOLD: usize = 300;
/// More than any result: what is none must not take all memory.
const MOST_BYTES: u64 = 1 << 30;

// === impl Place ===

impl Place {
    /// Writes a file there, whole or not at all.
    pub(crate) fn write(&self, bytes: Vec<u8>) -> Result<(), StoreError> {
        match self {
            Self::File(path) => Ok(write_file(path, &bytes)?),
            Self::Object { kind, url } => {
                let (store, path) = open(*kind, url)?;
                alone(async move {
                    store
                        .put(&path, PutPayload::from(bytes))
                        .await
                        .map(drop)
                        .map_err(|error| StoreError::Put(error.into()))
                })
            }
        }
    }

    /// Reads the file that is there.
    pub(crate) fn read(&self) -> Result<Vec<u8>, StoreError> {
        match self {
            Self::File(path) => {
                let mut bytes = Vec::new();
                std::fs::File::open(path)?.take(MOST_BYTES).read_to_end(&mut bytes)?;
                Ok(bytes)
            }
            Self::Object { kind, url } => {
                let (store, path) = open(*kind, url)?;
                alone(async move {
                    let found = store.get(&path).await.map_err(|error| StoreError::Get(error.into()))?;
                    if found.meta.size > MOST_BYTES {
                        return Err(StoreError::TooLarge);
                    }
                    Ok(found.bytes().await.map_err(|error| StoreError::Get(error.into()))?.to_vec())
                })
            }
        }
    }
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let Some((scheme, rest)) = text.split_once("://") else { return Ok(Self::File(PathBuf::from(text))) };
        let malformed = || PlaceError::Malformed(text.to_owned());
        let url: Url = text.parse().map_err(|_| malformed())?;
        let kind = match scheme {
            "file" => {
                let path = url.to_file_path().map_err(|()| malformed())?;
                return Ok(Self::File(path));
            }
            "s3" | "s3a" => Kind::S3,
            "gs" => Kind::Gcs,
            "az" | "azure" | "abfs" | "abfss" | "adl" => Kind::Azure,
            other => return Err(PlaceError::Scheme(other.to_owned())),
        };
        if url.password().is_some() || (!url.username().is_empty() && kind != Kind::Azure) {
            let shown = format!("{scheme}://…@{}", rest.rsplit('@').next().unwrap_or_default());
            return Err(PlaceError::Secret(shown, kind.variables()));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(malformed());
        }
        if url.path().trim_matches('/').is_empty() || url.path().ends_with('/') {
            return Err(PlaceError::NoFile(text.to_owned()));
        }
        Ok(Self::Object { kind, url })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Object { url, .. } => write!(f, "{url}"),
        }
    }
}

// === impl Brief ===

impl From<object_store::Error> for Brief {
    fn from(error: object_store::Error) -> Self {
        let text = error.to_string();
        Self(text.lines().next().unwrap_or_default().chars().take(MOST_TOLD).collect())
    }
}

impl fmt::Display for Brief {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Kind ===

impl Kind {
    const fn variables(self) -> &'static str {
        match self {
            Self::S3 => "who you are comes from AWS_ACCESS_KEY_ID and the other AWS_* variables",
            Self::Gcs => "who you are comes from GOOGLE_APPLICATION_CREDENTIALS and the other GOOGLE_* variables",
            Self::Azure => "who you are comes from AZURE_STORAGE_ACCOUNT_NAME and the other AZURE_* variables",
        }
    }
}

/// The store of an address, as its variables describe it, and the path in it.
fn open(kind: Kind, url: &Url) -> Result<(Arc<dyn ObjectStore>, object_store::path::Path), StoreError> {
    let retry = RetryConfig { max_retries: 4, retry_timeout: RETRIES, ..RetryConfig::default() };
    let store: Result<Arc<dyn ObjectStore>, object_store::Error> = match kind {
        Kind::S3 => {
            let builder = AmazonS3Builder::from_env().with_url(url.as_str()).with_http_connector(Connector);
            let builder = if plain_endpoint() { builder.with_allow_http(true) } else { builder };
            builder.with_retry(retry).build().map(|store| Arc::new(store) as Arc<dyn ObjectStore>)
        }
        Kind::Gcs => GoogleCloudStorageBuilder::from_env()
            .with_url(url.as_str())
            .with_http_connector(Connector)
            .with_retry(retry)
            .build()
            .map(|store| Arc::new(store) as Arc<dyn ObjectStore>),
        Kind::Azure => MicrosoftAzureBuilder::from_env()
            .with_url(url.as_str())
            .with_http_connector(Connector)
            .with_retry(retry)
            .build()
            .map(|store| Arc::new(store) as Arc<dyn ObjectStore>),
    };
    let path = object_store::path::Path::from_url_path(url.path())
        .map_err(|source| StoreError::Settings(object_store::Error::InvalidPath { source }.into()))?;
    let store = store.map_err(|error| StoreError::Settings(error.into()))?;
    Ok((store, path))
}

/// Whether the user named an endpoint in clear text: a store on this machine, or within a cluster.
fn plain_endpoint() -> bool {
    ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"]
        .iter()
        .any(|name| std::env::var(name).is_ok_and(|endpoint| endpoint.starts_with("http://")))
}

/// Runs what talks to a store on a thread and a runtime of its own, for so long at most.
fn alone<T: Send + 'static>(
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    let worker = thread::Builder::new().name("pacecar-store".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async { tokio::time::timeout(LONGEST, work).await.map_err(|_| StoreError::Timeout)? })
    })?;
    worker.join().unwrap_or(Err(StoreError::Timeout))
}

/// Writes a file as a whole or not at all: who reads it never finds half of one, and a full disk leaves what was there.
fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let there = std::fs::metadata(path);
    // A pipe or a device is written to, never replaced.
    if there.is_ok_and(|there| !there.is_file()) {
        return std::fs::write(path, bytes);
    }
    // A link stays one.
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let name = target.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let beside = target.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = std::fs::File::create(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    match written.and_then(|()| std::fs::rename(&beside, &target)) {
        Ok(()) => Ok(()),
        Err(error) => {
            let _ = std::fs::remove_file(&beside);
            // The folder may be another's, and the file ours.
            if target.is_file() && error.kind() == io::ErrorKind::PermissionDenied {
                return std::fs::write(&target, bytes);
            }
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn an_address_is_a_path_or_a_store() {
        let file = |path: &str| Place::File(PathBuf::from(path));
        assert_eq!("a/b.html".parse(), Ok(file("a/b.html")));
        assert_eq!("C:odd".parse(), Ok(file("C:odd")));
        assert_eq!("file:///tmp/a%20b.json".parse(), Ok(file("/tmp/a b.json")));
        for (text, wanted) in [
            ("s3://bucket/load/run.html", Kind::S3),
            ("gs://bucket/run.json", Kind::Gcs),
            ("az://container/run.json", Kind::Azure),
        ] {
            let Ok(Place::Object { kind, .. }) = text.parse() else { panic!("{text}") };
            assert_eq!(kind, wanted);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_before_anything_is_sent() {
        for text in [
            "ftp://host/a",
            "http://host/a",
            "https://host/a",
            "s3://",
            "s3:///a",
            "s3://bucket",
            "s3://bucket/",
            "gs://b/c/",
            "file://host/a",
        ] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
        let refused = "s3://AKIA:hunter2@bucket/a".parse::<Place>().unwrap_err().to_string();
        assert!(!refused.contains("hunter2") && !refused.contains("AKIA") && refused.contains("AWS_"), "{refused}");
    }

    #[test]
    fn a_file_is_written_as_a_whole_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::File(folder.path().join("r.json"));
        place.write(b"one".to_vec()).unwrap();
        place.write(b"two".to_vec()).unwrap();
        assert_eq!(place.read().unwrap(), b"two");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(Place::File(folder.path().join("no/r.json")).write(Vec::new()).is_err());
    }
}
