//! The embedded listener, seen from outside.
//!
//! `messaging`, `refusals` and `lifetimes` are a port suite: every behaviour in them is run on the embedded listener and on a real
//! NATS server, so that they cannot drift apart. `embedded` holds what only the embedded listener has.
//!
//! Not in the suite: permissions per subject. A NATS server can restrict users to subjects; the embedded listener has
//! no such setting at all, so there is nothing that could be configured and then be ignored.

// A test stops at the first surprise.
#![allow(clippy::unwrap_used)]

mod embedded;
mod lifetimes;
mod messaging;
mod raw;
mod refusals;
mod servers;

/// Runs each behaviour on both servers.
macro_rules! on_both_servers {
    ($($behaviour:ident),+ $(,)?) => {
        mod embedded_listener {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $behaviour() {
                    super::$behaviour($crate::servers::Kind::Embedded).await;
                }
            )+
        }
        mod nats_server {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $behaviour() {
                    super::$behaviour($crate::servers::Kind::NatsServer).await;
                }
            )+
        }
    };
}
pub(crate) use on_both_servers;
