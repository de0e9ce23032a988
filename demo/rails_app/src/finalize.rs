//! `order.finalize`: closes an order that is reserved, paid and planned.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tasker_worker::{Context, JsonSchema, Step, StepError};

use crate::money::Money;

/// About what writing an invoice into a database costs.
const WRITE_DOWN: Duration = Duration::from_millis(4);

/// What the other systems found out.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Fulfilled {
    pub order_id: String,
    pub total: Money,
    pub currency: String,
    pub reservation_id: String,
    pub payment_id: String,
    pub carrier: String,
    #[schemars(range(min = 1))]
    pub parcels: u64,
}

/// The order is done.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Invoice {
    pub order_id: String,
    /// The same for every attempt at this step: it is made from the order's number.
    pub invoice_id: String,
    pub total: Money,
    pub currency: String,
    pub carrier: String,
    pub parcels: u64,
}

/// The step.
pub fn step() -> Step {
    Step::new("order.finalize", finalize).describe("Writes the invoice of an order that is reserved, paid and planned.")
}

async fn finalize(order: Fulfilled, _: Context) -> Result<Invoice, StepError> {
    tokio::time::sleep(WRITE_DOWN).await;
    let invoice_id = format!("INV-{}", order.order_id);
    tracing::info!(
        order_id = order.order_id,
        invoice_id,
        payment_id = order.payment_id,
        reservation_id = order.reservation_id,
        "order finalised"
    );
    Ok(Invoice {
        order_id: order.order_id,
        invoice_id,
        total: order.total,
        currency: order.currency,
        carrier: order.carrier,
        parcels: order.parcels,
    })
}

#[cfg(test)]
mod tests {
    use tasker_worker::testing::Call;

    use super::*;

    fn fulfilled() -> Fulfilled {
        Fulfilled {
            order_id: "536365".to_owned(),
            total: Money::parse("139.12").expect("an amount"),
            currency: "GBP".to_owned(),
            reservation_id: "res_1".to_owned(),
            payment_id: "pay_1".to_owned(),
            carrier: "royal_mail".to_owned(),
            parcels: 2,
        }
    }

    #[tokio::test]
    async fn a_second_attempt_writes_the_same_invoice() {
        let first: Invoice = Call::new().run(&step(), fulfilled()).await.expect("finalised");
        let second: Invoice = Call::new().attempt(2).run(&step(), fulfilled()).await.expect("finalised again");
        assert_eq!((first.invoice_id.as_str(), first.total.to_string().as_str()), ("INV-536365", "139.12"));
        assert_eq!(first.invoice_id, second.invoice_id);
    }

    #[tokio::test]
    async fn an_order_without_parcels_breaks_the_contract() {
        let refusal = Call::new().run::<_, Invoice>(&step(), Fulfilled { parcels: 0, ..fulfilled() }).await.expect_err("nothing to send");
        assert_eq!(refusal.code(), "input.invalid");
    }
}
