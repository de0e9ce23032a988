//! `order.validate`: is this an order that can be delivered and paid?

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tasker_worker::{Context, JsonSchema, Step, StepError};

use crate::money::Money;

/// About what a look into a database costs; without it nobody could watch the demo.
const LOOK_UP: Duration = Duration::from_millis(3);

/// An order as the shop exports it. Fields nobody here needs are left alone.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Order {
    /// A number; a leading `C` marks a cancellation.
    #[schemars(length(min = 1, max = 64))]
    pub order_id: String,
    /// Missing for corrections of stock and for anonymous sales.
    pub customer_id: Option<String>,
    pub country: String,
    /// ISO 4217.
    #[schemars(regex(pattern = r"^[A-Z]{3}$"))]
    pub currency: String,
    #[schemars(length(max = 2_000))]
    pub lines: Vec<Line>,
}

/// One article of an order.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Line {
    pub sku: String,
    /// Negative in cancellations.
    #[schemars(range(min = -1_000_000, max = 1_000_000))]
    pub quantity: i64,
    pub unit_price: Money,
}

/// What every later step can rely on.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ValidOrder {
    pub order_id: String,
    pub customer_id: String,
    /// All quantities together.
    #[schemars(range(min = 1))]
    pub item_count: i64,
    pub total: Money,
    pub currency: String,
    pub country: String,
    /// What is to be delivered; at least one line, none of them zero or given back.
    #[schemars(length(min = 1))]
    pub lines: Vec<ValidLine>,
}

/// One line of an order that can be delivered.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ValidLine {
    #[schemars(length(min = 1))]
    pub sku: String,
    #[schemars(range(min = 1))]
    pub quantity: i64,
}

/// Which order was turned down; the details of all three errors.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TurnedDown {
    pub order_id: String,
}

/// The step with everything it may answer.
pub fn step() -> Step {
    Step::new("order.validate", validate)
        .describe("Checks that an order can be delivered and paid, and adds it up.")
        .error::<TurnedDown>("order_cancelled", "A cancellation or a correction of stock, not an order.")
        .error::<TurnedDown>("customer_missing", "Nobody to deliver to.")
        .error::<TurnedDown>("order_empty", "No lines, or nothing to pay.")
}

async fn validate(order: Order, _: Context) -> Result<ValidOrder, StepError> {
    tokio::time::sleep(LOOK_UP).await;
    let turn_down = |code: &'static str, why: &str| {
        tracing::info!(order_id = order.order_id, code, "order turned down");
        StepError::permanent(code, format!("order {} {why}", order.order_id)).details(&TurnedDown { order_id: order.order_id.clone() })
    };
    if order.order_id.starts_with('C') {
        return Err(turn_down("order_cancelled", "is a cancellation"));
    }
    if order.lines.iter().any(|line| line.quantity <= 0) {
        return Err(turn_down("order_cancelled", "takes goods back, it is a correction of stock"));
    }
    let Some(customer_id) = order.customer_id.clone() else {
        return Err(turn_down("customer_missing", "names no customer"));
    };
    let total: Money = order.lines.iter().map(|line| line.unit_price.times(line.quantity)).sum();
    if total == Money::default() {
        return Err(turn_down("order_empty", "has no lines, or costs nothing"));
    }
    tracing::info!(order_id = order.order_id, lines = order.lines.len(), %total, "order is valid");
    Ok(ValidOrder {
        item_count: order.lines.iter().map(|line| line.quantity).sum(),
        order_id: order.order_id,
        customer_id,
        total,
        currency: order.currency,
        country: order.country,
        lines: order.lines.into_iter().map(|line| ValidLine { sku: line.sku, quantity: line.quantity }).collect(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tasker_worker::ErrorKind;
    use tasker_worker::testing::Call;

    use super::*;

    fn order() -> Value {
        json!({
            "order_id": "536365", "placed_at": "2010-12-01T08:26:00Z", "customer_id": "17850", "country": "United Kingdom", "currency": "GBP",
            "lines": [
                { "sku": "85123A", "description": "WHITE HANGING HEART T-LIGHT HOLDER", "quantity": 6, "unit_price": "2.55" },
                { "sku": "21730", "description": null, "quantity": 3, "unit_price": "0.1" },
            ],
        })
    }

    async fn run(order: Value) -> Result<ValidOrder, StepError> {
        Call::new().run(&step(), order).await
    }

    async fn refused(change: impl FnOnce(&mut Value)) -> StepError {
        let mut order = order();
        change(&mut order);
        run(order).await.expect_err("it is turned down")
    }

    #[tokio::test]
    async fn a_good_order_is_added_up_exactly() {
        let valid = run(order()).await.expect("a good order");
        assert_eq!((valid.total.to_string().as_str(), valid.item_count), ("15.60", 9));
    }

    #[tokio::test]
    async fn a_cancellation_is_no_order() {
        let by_number = refused(|order| order["order_id"] = "C536379".into()).await;
        let by_quantity = refused(|order| order["lines"][1]["quantity"] = (-1).into()).await;
        for refusal in [by_number, by_quantity] {
            assert_eq!((refusal.kind(), refusal.code()), (ErrorKind::Permanent, "order_cancelled"));
        }
    }

    #[tokio::test]
    async fn an_order_without_customer_lines_or_price_is_turned_down_with_its_number() {
        let nobody = refused(|order| order["customer_id"] = Value::Null).await;
        let nothing = refused(|order| order["lines"] = json!([])).await;
        let free = refused(|order| order["lines"] = json!([{ "sku": "A", "quantity": 1, "unit_price": "0.0" }])).await;
        assert_eq!((nobody.code(), nothing.code(), free.code()), ("customer_missing", "order_empty", "order_empty"));
        assert_eq!(nobody.details_json(), br#"{"order_id":"536365"}"#);
    }

    #[tokio::test]
    async fn a_price_that_is_no_amount_breaks_the_contract() {
        let refusal = refused(|order| order["lines"][0]["unit_price"] = "2,55".into()).await;
        assert_eq!((refusal.kind(), refusal.code()), (ErrorKind::Contract, "input.invalid"));
        assert!(refusal.message().contains("/lines/0/unit_price"), "{}", refusal.message());
    }
}
