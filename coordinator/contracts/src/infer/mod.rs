//! A JSON Schema 2020-12 from samples: what they all have in common, and nothing that they do not show.
//!
//! What is *not* written is as deliberate as what is:
//!
//! - No bounds. The largest amount in the samples is not the largest amount there is, and a bound would refuse the first order above it.
//! - No `additionalProperties: false`. That a field was not seen does not say that it may not come.
//! - No `enum` unless few short words repeat over many samples; see [`ENUM_SAMPLES_MIN`].
//!
//! [`gather`] looks at every sample once, [`write`] says what was seen, [`formats`] knows dates, addresses and ids when it sees them.

mod formats;
mod gather;
mod write;

use gather::Seen;
use serde_json::Value;

/// The most samples of one inference. Beyond some thousands, further ones change a schema rarely and cost time always.
pub const SAMPLES_MAX: usize = 10_000;
/// The most JSON nodes in all samples together: a second of work, and some hundred megabytes as JSON values.
pub const NODES_MAX: usize = 2_000_000;
/// The most different places that are remembered. What lies beyond is left unsaid, which admits anything there; a schema that a
/// contract accepts has at most 10,000 nodes, and a place needs about two.
pub const PLACES_MAX: usize = 3_000;
/// The deepest level that is described. Two levels of a schema describe one level of a value, and a contract accepts 64.
pub const DEPTH_MAX: usize = 28;
/// Strings become an `enum` only if there were at least so many of them,
pub const ENUM_SAMPLES_MIN: usize = 30;
/// with at most so many different ones,
pub const ENUM_VALUES_MAX: usize = 8;
/// each of them seen at least so often,
pub const ENUM_REPEATS_MIN: usize = 3;
/// and none longer than this, in bytes: states and kinds are short, names of customers are not.
pub const ENUM_BYTES_MAX: usize = 32;
/// An object of which no key is in every sample, and that has more than so many different ones, is a dictionary: its keys are data.
pub const DICTIONARY_KEYS_MIN: usize = 64;

/// What an inference may conclude.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Say `format` where every string has it.
    pub formats: bool,
    /// Say `enum` where few words repeat.
    pub enums: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { formats: true, enums: true }
    }
}

/// Why nothing could be inferred.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing to learn from.
    #[error("there is no sample to learn from")]
    None,
    /// More than [`SAMPLES_MAX`].
    #[error("there are {0} samples; at most {SAMPLES_MAX} are looked at")]
    TooMany(usize),
    /// More nodes than [`NODES_MAX`].
    #[error("the samples have more than {NODES_MAX} values in them")]
    TooLarge,
}

impl Refusal {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::None => "samples.none",
            Self::TooMany(_) => "samples.too_many",
            Self::TooLarge => "samples.too_large",
        }
    }
}

/// Infers the schema of samples. Every sample fits it.
///
/// Pure; the same samples in any order give the same schema, with its members in alphabetical order.
///
/// # Errors
/// No samples, or more than are looked at. A part of them would give a schema that the rest may break, so nothing is left out silently.
///
/// ```
/// use serde_json::json;
/// let samples = [json!({ "id": 1, "note": "late" }), json!({ "id": 2 })];
/// let schema = tasker_contracts::infer::infer(&samples, tasker_contracts::infer::Options::default()).expect("samples");
/// assert_eq!(schema, json!({
///     "type": "object",
///     "required": ["id"],
///     "properties": { "id": { "type": "integer" }, "note": { "type": "string" } },
/// }));
/// ```
pub fn infer(samples: &[Value], options: Options) -> Result<Value, Refusal> {
    match samples.len() {
        0 => return Err(Refusal::None),
        count if count > SAMPLES_MAX => return Err(Refusal::TooMany(count)),
        _ => {}
    }
    let nodes = samples.iter().try_fold(0, |nodes: usize, sample| gather::count(sample, nodes).filter(|nodes| *nodes <= NODES_MAX));
    if nodes.is_none() {
        return Err(Refusal::TooLarge);
    }
    let mut seen = Seen::default();
    for sample in samples {
        seen.look(sample);
    }
    let mut places = PLACES_MAX;
    Ok(write::schema(&seen, options, 0, &mut places))
}
