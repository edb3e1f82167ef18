//! Named steps of long work, at which a test can stop the process to kill it.

/// The process stops for good at the step that this environment variable names. Only in builds with the sandbox.
#[cfg(feature = "sandbox")]
const STOP_AT: &str = "SSL_MANAGER_STOP_AT";

/// Marks a step. It is logged; and a build with the sandbox stops here for ever, with one line on stderr, if
/// `SSL_MANAGER_STOP_AT` names the step, so that a test can pull the plug at exactly this point.
pub async fn checkpoint(step: &'static str) {
    tracing::debug!(step, "checkpoint");
    #[cfg(feature = "sandbox")]
    if std::env::var(STOP_AT).is_ok_and(|name| name == step) {
        eprintln!("stopped at {step}");
        std::future::pending::<()>().await;
    }
}
