//! Amounts of money, exact to the hundredth.

use std::borrow::Cow;
use std::fmt;

use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tasker_worker::JsonSchema;

/// More would be a mistake, and keeps every sum far inside 128 bits: an order has
/// at most 2,000 lines of at most 1,000,000 pieces.
const WHOLE_DIGITS_MAX: usize = 24;
const FRACTION_DIGITS_MAX: usize = 2;

/// Hundredths of the currency's unit; written as decimal text (`"15.30"`)
/// because JSON numbers are binary fractions to most readers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Money(i128);

impl Money {
    /// `None` unless the text is decimal, not negative, with at most two digits after the point.
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str, max: usize| (1..=max).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole, WHOLE_DIGITS_MAX) || !digits(fraction, FRACTION_DIGITS_MAX) {
            return None;
        }
        let tenths = if fraction.len() == 1 { 10 } else { 1 };
        Some(Self(whole.parse::<i128>().ok()? * 100 + fraction.parse::<i128>().ok()? * tenths))
    }

    /// The price of `quantity` pieces.
    pub fn times(self, quantity: i64) -> Self {
        Self(self.0 * i128::from(quantity))
    }
}

impl std::iter::Sum for Money {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        Self(amounts.map(|amount| amount.0).sum())
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{}.{:02}", self.0.unsigned_abs() / 100, self.0.unsigned_abs() % 100)
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not an amount like `15.30`")))
    }
}

impl JsonSchema for Money {
    fn schema_name() -> Cow<'static, str> {
        "Money".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": format!(r"^[0-9]{{1,{WHOLE_DIGITS_MAX}}}(\.[0-9]{{1,{FRACTION_DIGITS_MAX}}})?$"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_hundredths_and_text_again() {
        for (text, written) in [("2.55", "2.55"), ("2.1", "2.10"), ("0.0", "0.00"), ("13541.33", "13541.33"), ("7", "7.00")] {
            assert_eq!(Money::parse(text).expect(text).to_string(), written);
        }
    }

    #[test]
    fn text_that_is_no_amount_is_refused() {
        for text in ["", ".", "1.", ".5", "-1.00", "1.234", "1,50", "1e3", "+1", "NaN", "9999999999999999999999999"] {
            assert_eq!(Money::parse(text), None, "{text}");
        }
    }

    #[test]
    fn sums_are_exact_where_binary_fractions_are_not() {
        let total: Money = (0..10).map(|_| Money::parse("0.1").expect("an amount")).sum();
        assert_eq!(total.to_string(), "1.00");
        assert_eq!(Money::parse("0.29").expect("an amount").times(3).to_string(), "0.87");
    }
}
