//! The names of pacecar's metrics: k6's where k6 has one, and pacecar's own second clock.

/// Requests sent; each hop of a redirect is one. Counter.
pub const HTTP_REQS: &str = "http_reqs";
/// Requests that the target turned away to spare real ones: sent, and neither failed nor answered. Counter.
pub const HTTP_REQS_SHED: &str = "http_reqs_shed";
/// Sending + waiting + receiving. Trend, ms.
pub const HTTP_REQ_DURATION: &str = "http_req_duration";
/// Waiting for a free connection. Trend, ms.
pub const HTTP_REQ_BLOCKED: &str = "http_req_blocked";
/// Establishing the TCP connection. Trend, ms.
pub const HTTP_REQ_CONNECTING: &str = "http_req_connecting";
/// The TLS handshake. Trend, ms.
pub const HTTP_REQ_TLS_HANDSHAKING: &str = "http_req_tls_handshaking";
/// Writing the request. Trend, ms.
pub const HTTP_REQ_SENDING: &str = "http_req_sending";
/// From the request's last byte to the answer's first. Trend, ms.
pub const HTTP_REQ_WAITING: &str = "http_req_waiting";
/// Reading the answer. Trend, ms.
pub const HTTP_REQ_RECEIVING: &str = "http_req_receiving";
/// Requests that failed, by `expected_response`. Rate.
pub const HTTP_REQ_FAILED: &str = "http_req_failed";
/// From when a request was due to its end. Trend, ms.
pub const HTTP_REQ_RESPONSE_TIME: &str = "http_req_response_time";
/// Iterations completed. Counter.
pub const ITERATIONS: &str = "iterations";
/// From an iteration's start to its end. Trend, ms.
pub const ITERATION_DURATION: &str = "iteration_duration";
/// From when an iteration was due to its end. Trend, ms.
pub const ITERATION_RESPONSE_TIME: &str = "iteration_response_time";
/// From when an iteration was due to its start. Trend, ms.
pub const ITERATION_LAG: &str = "iteration_lag";
/// Iterations that were due and could not start. Counter.
pub const DROPPED_ITERATIONS: &str = "dropped_iterations";
/// Checks that passed. Rate.
pub const CHECKS: &str = "checks";
/// The time of one step's group. Trend, ms.
pub const GROUP_DURATION: &str = "group_duration";
/// VUs at work. Gauge.
pub const VUS: &str = "vus";
/// VUs made. Gauge.
pub const VUS_MAX: &str = "vus_max";
/// Bytes written to sockets. Counter.
pub const DATA_SENT: &str = "data_sent";
/// Bytes read from sockets. Counter.
pub const DATA_RECEIVED: &str = "data_received";
/// Connections reset by the target. Counter.
pub const CONNECTION_RESET: &str = "connection_reset";
/// Connections refused by the target. Counter.
pub const CONNECTION_REFUSED: &str = "connection_refused";
/// Requests that ran out of time. Counter.
pub const TIMEOUT: &str = "timeout";
/// From sending to a stream's first token. Trend, ms.
pub const LLM_TTFT: &str = "llm_ttft";
/// Between two tokens of a stream. Trend, ms.
pub const LLM_TOKEN_GAP: &str = "llm_token_gap";
/// Time-weighted used / max of the target's pool. Gauge, 0 to 1.
pub const POOL_UTILIZATION: &str = "pool_utilization";
/// Connections in use in the target's pool. Gauge.
pub const POOL_USED: &str = "pool_used";
/// Requests that wait for a connection in the target's pool. Gauge.
pub const POOL_PENDING: &str = "pool_pending";
/// The wait for a connection of the target's pool. Trend, ms.
pub const POOL_WAIT: &str = "pool_wait";
