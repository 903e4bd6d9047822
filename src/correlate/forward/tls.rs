//! TLS to the collector: rustls with ring; the system's authorities, or those that the plan's user names.

use super::collector::CollectorError;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsConnector;

/// Makes the connector. Reads files: call it where that may block.
///
/// # Errors
/// [`CollectorError::Variable`] where the file of authorities holds none.
pub(in crate::correlate) fn connector(
    certificate: Option<&Path>,
    protocol: &[u8],
) -> Result<TlsConnector, CollectorError> {
    let refused = |problem| CollectorError::Variable { name: "OTEL_EXPORTER_OTLP_CERTIFICATE".to_owned(), problem };
    let mut roots = RootCertStore::empty();
    match certificate {
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Some(file) => {
            let certificates = CertificateDer::pem_file_iter(file).map_err(|_| refused("cannot be read as PEM"))?;
            roots.add_parsable_certificates(certificates.flatten());
            if roots.is_empty() {
                return Err(refused("holds no certificate"));
            }
        }
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| refused("TLS is not available"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
