//! TLS to the collector: rustls with ring; the system's authorities, or those that the plan's user names.

use super::collector::CollectorError;
use crate::tls::Unchecked;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsConnector;

/// How TLS is spoken with a server that is pushed to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trust {
    /// A PEM file of authorities, in place of the system's.
    pub(crate) authorities: Option<PathBuf>,
    /// Whether the server's certificate goes unchecked.
    pub(crate) unchecked: bool,
    /// PEM files that say who we are: certificate and key.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
}

/// Makes the connector. Reads files: call it where that may block.
///
/// # Errors
/// [`CollectorError::Variable`] where the file of authorities holds none.
pub(in crate::correlate) fn connector(
    certificate: Option<&Path>,
    protocol: &[u8],
) -> Result<TlsConnector, CollectorError> {
    let refused = |problem| CollectorError::Variable { name: "OTEL_EXPORTER_OTLP_CERTIFICATE".to_owned(), problem };
    let trust = Trust { authorities: certificate.map(Path::to_path_buf), ..Trust::default() };
    trusting(&trust, protocol).map_err(refused)
}

/// Makes the connector for `trust`. Reads files: call it where that may block.
///
/// # Errors
/// What is wrong with a file, without its name.
pub(crate) fn trusting(trust: &Trust, protocol: &[u8]) -> Result<TlsConnector, &'static str> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|_| "TLS is not available")?;
    let builder = if trust.unchecked {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Unchecked::new(provider)))
    } else {
        builder.with_root_certificates(roots(trust.authorities.as_deref())?)
    };
    let mut config = match &trust.identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain =
                CertificateDer::pem_file_iter(certificate).map_err(|_| "the certificate cannot be read as PEM")?;
            let key = PrivateKeyDer::from_pem_file(key).map_err(|_| "the key cannot be read as PEM")?;
            builder
                .with_client_auth_cert(chain.flatten().collect(), key)
                .map_err(|_| "certificate and key do not fit")?
        }
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

fn roots(file: Option<&Path>) -> Result<RootCertStore, &'static str> {
    let mut roots = RootCertStore::empty();
    match file {
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Some(file) => {
            let certificates = CertificateDer::pem_file_iter(file).map_err(|_| "cannot be read as PEM")?;
            roots.add_parsable_certificates(certificates.flatten());
            if roots.is_empty() {
                return Err("holds no certificate");
            }
        }
    }
    Ok(roots)
}
