use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tasker_worker::{Context, StepError, Worker, WorkerError};

#[derive(Deserialize, JsonSchema)]
struct Person {
    name: String,
}
#[derive(Serialize, JsonSchema)]
struct Greeting {
    text: String,
}

async fn make(person: Person, _: Context) -> Result<Greeting, StepError> {
    Ok(Greeting { text: format!("Hello, {}", person.name) })
}

#[tokio::main]
async fn main() -> Result<(), WorkerError> {
    Worker::new("greeter").step("greeting.make", make).run().await
}
