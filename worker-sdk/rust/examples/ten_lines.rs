//! The smallest worker: it reserves whatever it is asked for.

use tasker_worker::{Context, StepError, Worker};

async fn reserve(sku: String, ctx: Context) -> Result<String, StepError> {
    Ok(format!("{sku} is reserved for {}", ctx.task_id()))
}

#[tokio::main]
async fn main() -> Result<(), tasker_worker::WorkerError> {
    tasker_worker::logging::init();
    Worker::new("inventory").step("inventory.reserve", reserve).run().await
}
