//! What the API answers where it cannot do as asked: JSON, always.

use axum::Json;
use axum::response::{IntoResponse, Response};
use deadpool_postgres::PoolError;
use http::StatusCode;
use serde_json::json;

/// Why a request is not answered as it hoped.
#[derive(Debug)]
pub(super) enum ApiError {
    /// The body or a parameter is not what it must be.
    Invalid(&'static str),
    /// Larger than the API reads.
    TooLarge,
    /// A wrong password, or no such user.
    Credentials,
    /// No token, or one that is not known.
    Token,
    /// The user is there already.
    Conflict,
    /// No such path, or no such thing.
    NotFound,
    /// Not with this method.
    Method,
    /// The pool had no connection in time.
    PoolExhausted,
    /// The database did not do it.
    Database(tokio_postgres::Error),
    /// The language model failed.
    Upstream,
    /// A bug, or a machine at its end.
    Internal,
}

// === impl ApiError ===

impl ApiError {
    fn parts(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Invalid(what) => (StatusCode::BAD_REQUEST, "invalid_request", what),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the body is larger than 64 KiB"),
            Self::Credentials => (StatusCode::UNAUTHORIZED, "invalid_grant", "wrong email or password"),
            Self::Token => (StatusCode::UNAUTHORIZED, "invalid_token", "a valid bearer token is needed"),
            Self::Conflict => (StatusCode::CONFLICT, "user_exists", "a user with this email exists"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found", "nothing is here"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "not with this method"),
            Self::PoolExhausted => {
                (StatusCode::SERVICE_UNAVAILABLE, "pool_exhausted", "no database connection in time")
            }
            Self::Database(_) => (StatusCode::SERVICE_UNAVAILABLE, "database", "the database did not answer"),
            Self::Upstream => (StatusCode::BAD_GATEWAY, "upstream", "the language model failed"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "something went wrong"),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let Self::Database(error) = &self {
            tracing::warn!(%error, "the sample API's database failed");
        }
        let (status, error, message) = self.parts();
        (status, Json(json!({ "error": error, "message": message }))).into_response()
    }
}

impl From<PoolError> for ApiError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Timeout(_) | PoolError::Closed => Self::PoolExhausted,
            PoolError::Backend(error) => Self::Database(error),
            PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => Self::Internal,
        }
    }
}

impl From<tokio_postgres::Error> for ApiError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error)
    }
}
