// Handlers of the system `parcel-depot`, made from its contracts by `tasker contract stubs`. The file is yours:
// fill in the functions at its end, and keep the types in step with the contracts.
//
// Cargo.toml: tasker-worker; serde = { version = "1", features = ["derive"] }; serde_json = "1"; schemars = "1";
// tokio = { version = "1", features = ["rt-multi-thread", "macros"] }. The program:
//
// #[tokio::main]
// async fn main() -> Result<(), tasker_worker::WorkerError> {
//     tasker_worker::logging::init();
//     worker().run().await
// }

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use tasker_worker::{Context, JsonSchema, Step, StepError, Worker};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ParcelAcceptInputLinesItem {
    #[schemars(extend("minimum" = 1))]
    pub quantity: i64,
    pub sku: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ParcelAcceptInputSizeOption2 {
    pub height: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ParcelAcceptInputSize {
    Text(String),
    ParcelAcceptInputSizeOption2(ParcelAcceptInputSizeOption2),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum ParcelAcceptInputStatus {
    #[serde(rename = "open")]
    Open,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum ParcelAcceptInputType {
    #[serde(rename = "small")]
    Small,
    #[serde(rename = "2-man")]
    N2Man,
    #[serde(rename = "")]
    Empty,
    #[serde(rename = "größe")]
    GrE,
    #[serde(rename = "Self")]
    Self_,
    #[serde(rename = "small!")]
    Small2,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParcelAcceptInput {
    #[schemars(extend("minItems" = 1))]
    pub lines: Vec<ParcelAcceptInputLinesItem>,
    #[schemars(extend("maxLength" = 200))]
    pub note: Option<String>,
    /// The shop's number.
    #[serde(rename = "order-id")]
    #[schemars(extend("pattern" = "^[A-Z]\\d+$"), extend("minLength" = 1), extend("maxLength" = 64))]
    pub order_id: String,
    pub status: ParcelAcceptInputStatus,
    #[serde(rename = "type")]
    pub type_: ParcelAcceptInputType,
    #[schemars(extend("exclusiveMinimum" = 0), extend("maximum" = 31.5))]
    pub weight: f64,
    #[serde(rename = "2nd_try", default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub n_2nd_try: Option<bool>,
    #[serde(rename = "__proto__", default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub proto: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("format" = "date"))]
    pub deliver_on: Option<String>,
    #[serde(rename = "größe", default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    pub gr_e: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "BTreeMap<String, String>")]
    pub labels: Option<BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    pub model_year: Option<i64>,
    #[serde(rename = "order_id", default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    pub order_id2: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<serde_json::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "serde_json::Value")]
    pub schema: Option<serde_json::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<ParcelAcceptInputSize>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ParcelAcceptResultNeighboursItem {
    Text(String),
    Integer(i64),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ParcelAcceptResult {
    #[schemars(extend("format" = "uuid"))]
    pub parcel: String,
    pub shelf: Option<i64>,
    #[schemars(extend("format" = "date-time"))]
    pub taken_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<ParcelAcceptResultNeighboursItem>", extend("uniqueItems" = true))]
    pub neighbours: Option<Vec<ParcelAcceptResultNeighboursItem>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ParcelAcceptTooHeavyDetails {
    pub limit: f64,
}

/// One stop of a tour.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TourPlanInputStop {
    pub place: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Box<TourPlanInputStop>")]
    pub next: Option<Box<TourPlanInputStop>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<TourPlanInputStop>")]
    pub others: Option<Vec<TourPlanInputStop>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerInput {
    pub a: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub b: Option<bool>,
}

/// Takes a parcel in. Never end a comment with */ or """.
///
/// Asking again gives the same parcel.
pub async fn parcel_accept(input: ParcelAcceptInput, context: Context) -> Result<ParcelAcceptResult, StepError> {
    let _ = (input, context);
    Err(StepError::permanent("handler.not_written", "`parcel.accept` has no code yet: write the body of `parcel_accept`"))
}

pub async fn tour_plan(input: TourPlanInputStop, context: Context) -> Result<Vec<String>, StepError> {
    let _ = (input, context);
    Err(StepError::permanent("handler.not_written", "`tour.plan` has no code yet: write the body of `tour_plan`"))
}

/// Another name that looks the same.
pub async fn tour_plan2(input: serde_json::Value, context: Context) -> Result<serde_json::Value, StepError> {
    let _ = (input, context);
    Err(StepError::permanent("handler.not_written", "`tour-plan` has no code yet: write the body of `tour_plan2`"))
}

/// A keyword for a name.
pub async fn worker_(input: WorkerInput, context: Context) -> Result<(), StepError> {
    let _ = (input, context);
    Err(StepError::permanent("handler.not_written", "`worker` has no code yet: write the body of `worker_`"))
}

/// Every capability of the system, each with its handler.
pub fn worker() -> Worker {
    Worker::new("parcel-depot")
        .register(
            Step::new("parcel.accept", parcel_accept)
                .describe("Takes a parcel in. Never end a comment with */ or \"\"\". Asking again gives the same parcel.")
                .timeout(Duration::from_millis(10000))
                .error::<serde_json::Value>("depot.closed", "")
                .error::<ParcelAcceptTooHeavyDetails>("too_heavy", "More than a person may carry."),
        )
        .register(Step::new("tour.plan", tour_plan))
        .register(
            Step::new("tour-plan", tour_plan2)
                .describe("Another name that looks the same."),
        )
        .register(
            Step::new("worker", worker_)
                .describe("A keyword for a name."),
        )
}
