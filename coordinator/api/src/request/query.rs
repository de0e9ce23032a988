//! The query string: every parameter is known, read once, and within its range.

use crate::nearest::did_you_mean;
use crate::problem::{Code, Place, Problem};
use axum::extract::Query as AxumQuery;
use axum::http::Uri;
use std::str::FromStr;
use tasker_engine::Namespace;

/// More parameters than any route has, labels included; a query with more is not read.
const PARAMETERS_MAX: usize = 64;

/// The parameter that every route under `/v1` takes.
const NAMESPACE: &str = "namespace";

/// The parameters of one request, checked against those the route knows.
#[derive(Debug)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
    /// The tenant: the parameter `namespace`, or the default.
    pub(crate) namespace: Namespace,
}

impl Query {
    /// Reads the query of `uri`; `known` are the route's own parameters.
    ///
    /// # Errors
    /// A parameter that nobody would look at, too many of them, text that is not UTF-8, or an impossible namespace.
    pub(crate) fn read(uri: &Uri, known: &[&str], default_namespace: &Namespace) -> Result<Self, Problem> {
        let AxumQuery(pairs) = AxumQuery::<Vec<(String, String)>>::try_from_uri(uri).map_err(|rejection| {
            Problem::new(Code::RequestMalformed, format!("the query string cannot be read: {}", rejection.body_text()))
        })?;
        if pairs.len() > PARAMETERS_MAX {
            let detail = format!("the query has {} parameters; at most {PARAMETERS_MAX} are read", pairs.len());
            return Err(Problem::new(Code::LimitExceeded, detail));
        }
        let unknown: Vec<Place> = pairs
            .iter()
            .filter(|(name, _)| name != NAMESPACE && !known.contains(&name.as_str()))
            .map(|(name, _)| {
                let shown: String = name.chars().take(64).collect();
                let candidates = known.iter().copied().chain([NAMESPACE]);
                Place::new(format!("?{shown}"), format!("this route has no parameter `{shown}`")).with_hint(did_you_mean(name, candidates))
            })
            .collect();
        if let Some(first) = unknown.first() {
            return Err(Problem { errors: unknown.clone(), ..Problem::at(Code::RequestUnknownField, first.clone()) });
        }
        let mut query = Self { pairs, namespace: default_namespace.clone() };
        if let Some(namespace) = query.parsed::<Namespace>(NAMESPACE)? {
            query.namespace = namespace;
        }
        Ok(query)
    }

    /// The one value of a parameter; empty text counts as absent.
    ///
    /// # Errors
    /// It is given more than once.
    pub(crate) fn one(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.pairs.iter().filter(|(given, _)| given == name);
        let first = values.next();
        if values.next().is_some() {
            return Err(malformed(name, "the parameter is given more than once"));
        }
        Ok(first.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty()))
    }

    /// Every value of a parameter.
    pub(crate) fn all<'q>(&'q self, name: &'q str) -> impl Iterator<Item = &'q str> {
        self.pairs.iter().filter(move |(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// A parameter of a type that reads itself.
    ///
    /// # Errors
    /// Given twice, or not readable; says the type's own rule.
    pub(crate) fn parsed<T: FromStr<Err: std::fmt::Display>>(&self, name: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        text.parse().map(Some).map_err(|error: T::Err| malformed(name, &error.to_string()))
    }

    /// A whole number within a range.
    ///
    /// # Errors
    /// Not a whole number, or out of range.
    pub(crate) fn number(&self, name: &str, range: std::ops::RangeInclusive<u64>) -> Result<Option<u64>, Problem> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        let number: u64 = text.parse().map_err(|_| malformed(name, &format!("`{}` is not a whole number", cut(text))))?;
        if range.contains(&number) {
            return Ok(Some(number));
        }
        let message = format!("{number} is out of range; give {} to {}", range.start(), range.end());
        Err(Problem::at(Code::LimitExceeded, Place::new(format!("?{name}"), message)))
    }

    /// `true` or `false`; the bare name means true.
    ///
    /// # Errors
    /// Anything else.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Problem> {
        let mut values = self.all(name);
        let value = values.next();
        if values.next().is_some() {
            return Err(malformed(name, "the parameter is given more than once"));
        }
        match value {
            None | Some("false") => Ok(false),
            Some("" | "true") => Ok(true),
            Some(other) => Err(malformed(name, &format!("`{}` is neither `true` nor `false`", cut(other)))),
        }
    }

    /// The query without a parameter, encoded, for links to other pages.
    pub(crate) fn without(&self, name: &str) -> String {
        let kept = self.pairs.iter().filter(|(given, _)| given != name);
        kept.map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect::<Vec<_>>().join("&")
    }
}

/// A parameter that cannot be read.
pub(crate) fn malformed(name: &str, message: &str) -> Problem {
    Problem::at(Code::RequestMalformed, Place::new(format!("?{name}"), message))
}

/// Shortens what is repeated in messages.
pub(crate) fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Percent-encodes everything but unreserved characters (RFC 3986).
pub(crate) fn encode(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(byte as char);
        } else {
            write!(encoded, "%{byte:02X}").expect("writing to a string does not fail");
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str, known: &[&str]) -> Result<Query, Problem> {
        let uri: Uri = format!("/v1/tasks?{query}").parse().expect("a URI");
        Query::read(&uri, known, &Namespace::new("default").expect("valid"))
    }

    #[test]
    fn an_unknown_parameter_is_refused_with_the_nearest_name() {
        let problem = read("stauts=failed&limit=1", &["status", "limit"]).expect_err("unknown");
        assert_eq!(problem.code, Code::RequestUnknownField);
        assert_eq!(problem.hint.as_deref(), Some("did you mean `status`?"));
        assert_eq!(problem.errors[0].pointer, "?stauts");
    }

    #[test]
    fn the_namespace_is_the_default_unless_it_is_named() {
        assert_eq!(read("", &[]).expect("fine").namespace.as_str(), "default");
        assert_eq!(read("namespace=acme", &[]).expect("fine").namespace.as_str(), "acme");
        assert_eq!(read("namespace=a.b", &[]).expect_err("hostile").code, Code::RequestMalformed);
    }

    #[test]
    fn a_parameter_given_twice_is_not_guessed_at() {
        let query = read("limit=1&limit=2", &["limit"]).expect("known");
        assert_eq!(query.number("limit", 1..=5).expect_err("twice").code, Code::RequestMalformed);
    }

    #[test]
    fn a_number_out_of_range_names_the_range() {
        let query = read("limit=201&after=x", &["limit", "after"]).expect("known");
        let problem = query.number("limit", 1..=200).expect_err("too large");
        assert_eq!(problem.code, Code::LimitExceeded);
        assert!(problem.detail.contains("1 to 200"), "{}", problem.detail);
        assert_eq!(query.number("after", 0..=9).expect_err("no number").code, Code::RequestMalformed);
    }

    #[test]
    fn a_flag_is_bare_or_a_word() {
        for (query, expected) in
            [("", Some(false)), ("verbose", Some(true)), ("verbose=true", Some(true)), ("verbose=false", Some(false)), ("verbose=ja", None)]
        {
            assert_eq!(read(query, &["verbose"]).expect("known").flag("verbose").ok(), expected, "{query}");
        }
    }

    #[test]
    fn a_link_keeps_every_other_parameter_encoded() {
        let query = read("label=a%3Db%26c&cursor=x&status=failed", &["label", "cursor", "status"]).expect("known");
        assert_eq!(query.without("cursor"), "label=a%3Db%26c&status=failed");
    }
}
