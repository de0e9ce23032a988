//! `order.finalize`: closes an order that is reserved, paid and planned.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tasker_worker::{Context, JsonSchema, Step, StepError};

/// About what closing an order in a database costs.
const WRITE_DOWN: Duration = Duration::from_millis(4);

/// What the other systems found out.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fulfilled {
    pub order_id: String,
    pub payment_id: String,
    pub reservation_id: String,
    #[schemars(extend("format" = "date"))]
    pub ship_on: String,
}

/// Where the order stands in the shop.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Status {
    Completed,
}

/// The order is done.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Closed {
    pub order_id: String,
    pub status: Status,
}

/// The step.
pub fn step() -> Step {
    Step::new("order.finalize", finalize).describe("Closes an order that is reserved, paid and planned.")
}

/// Closing an order twice leaves it closed, so a second attempt needs no key.
async fn finalize(order: Fulfilled, _: Context) -> Result<Closed, StepError> {
    tokio::time::sleep(WRITE_DOWN).await;
    tracing::info!(
        order_id = order.order_id,
        payment_id = order.payment_id,
        reservation_id = order.reservation_id,
        ship_on = order.ship_on,
        "order closed"
    );
    Ok(Closed { order_id: order.order_id, status: Status::Completed })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tasker_worker::testing::Call;

    use super::*;

    async fn run(change: impl FnOnce(&mut Value)) -> Result<Value, StepError> {
        let mut order = json!({ "order_id": "536365", "payment_id": "pay_1", "reservation_id": "res_1", "ship_on": "2010-12-03" });
        change(&mut order);
        Call::new().run(&step(), order).await
    }

    #[tokio::test]
    async fn an_order_that_is_paid_and_planned_is_completed() {
        assert_eq!(run(|_| ()).await.expect("closed"), json!({ "order_id": "536365", "status": "completed" }));
    }

    #[tokio::test]
    async fn an_order_without_payment_breaks_the_contract() {
        let refusal = run(|order| order["payment_id"] = Value::Null).await.expect_err("not paid");
        assert_eq!(refusal.code(), "input.invalid");
    }
}
