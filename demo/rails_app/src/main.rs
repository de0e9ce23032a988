//! `rails_app`, the system that owns orders. The demo plays it in Rust.
//!
//! It decides what counts as an order (`validate.rs`) and closes it when
//! everything else is done (`finalize.rs`). Money is exact (`money.rs`).

mod finalize;
mod money;
mod validate;

use tasker_worker::{Worker, WorkerError};

#[tokio::main]
async fn main() -> Result<(), WorkerError> {
    tasker_worker::logging::init();
    Worker::new("rails_app").version(env!("CARGO_PKG_VERSION")).register(validate::step()).register(finalize::step()).run().await
}
