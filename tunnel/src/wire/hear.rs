//! Reads messages of a peer that may be newer: what it says and this version does not know costs neither the link
//! nor the rest of what was said.

use std::fmt;

use cluster::{Assignment, Assignments, AttemptId, AttemptReport, EngineHealth, Observation};
use serde::de::{self, DeserializeOwned, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};
use serde_json::{Error, Value};

use super::guest::{FromGuest, ToGuest};
use super::message::{FromRunner, ToRunner};

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard<T> {
    Known(T),
    /// A message of a newer version, by its name: to be skipped.
    Unknown(String),
}

/// A message that may be of a newer version.
pub trait Message: DeserializeOwned {
    /// A second look at one whose name is known and whose content is not.
    ///
    /// # Errors
    /// `why`, where nothing can be made of it.
    fn again(name: String, content: Value, why: Error) -> Result<Heard<Self>, Error>;
}

/// # Errors
/// When it is no message of any version, or one of ours that makes no sense.
pub fn hear<T: Message>(body: &[u8]) -> Result<Heard<T>, Error> {
    let why = match serde_json::from_slice(body) {
        Ok(known) => return Ok(Heard::Known(known)),
        Err(why) => why,
    };
    // Its name alone, or an object whose one key is its name.
    let (name, content) = match serde_json::from_slice(body)? {
        Value::String(name) => (name, Value::Null),
        Value::Object(object) if object.len() == 1 => object.into_iter().next().unwrap_or_default(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            return Err(why);
        }
    };
    if names::<T>().contains(&name.as_str()) {
        return T::again(name, content, why);
    }
    Ok(Heard::Unknown(name.chars().take(64).collect()))
}

impl Message for ToRunner {
    fn again(name: String, content: Value, why: Error) -> Result<Heard<Self>, Error> {
        if name != "assignments" {
            return Err(why);
        }
        /// All but the list.
        #[derive(Deserialize)]
        struct Rest {
            epoch: u64,
            version: u64,
            list: Vec<Value>,
        }
        let Rest {
            epoch,
            version,
            list,
        } = serde_json::from_value(content)?;
        let (list, rest) = sort::<Assignment>(list);
        // What is to be dropped needs no understanding: whoever does not report it has dropped it.
        let kept = rest.iter().filter(|one| one["wanted"] != "drop");
        let unread = kept.map(attempt).collect::<Option<_>>().ok_or(why)?;
        Ok(Heard::Known(Self::Assignments(Assignments {
            epoch,
            version,
            list,
            unread,
        })))
    }
}

impl Message for FromRunner {
    fn again(name: String, content: Value, why: Error) -> Result<Heard<Self>, Error> {
        if name != "observed" {
            return Err(why);
        }
        /// All that must be as it is known.
        #[derive(Deserialize)]
        struct Rest {
            version: u64,
            attempts: Vec<Value>,
            engine: Value,
            #[serde(default)]
            disk: Value,
            strangers: Vec<cluster::Stranger>,
        }
        let rest: Rest = serde_json::from_value(content)?;
        let (attempts, others) = sort::<AttemptReport>(rest.attempts);
        let unread = others
            .iter()
            .map(attempt)
            .collect::<Option<_>>()
            .ok_or(why)?;
        let engine = serde_json::from_value(rest.engine).unwrap_or(EngineHealth::Down {
            since: cluster::Timestamp::default(),
            error: "it is in a state that this gateway does not know".to_owned(),
        });
        Ok(Heard::Known(Self::Observed(Observation {
            version: rest.version,
            attempts,
            engine,
            disk: serde_json::from_value(rest.disk).unwrap_or_default(),
            strangers: rest.strangers,
            unread,
        })))
    }
}

/// Those that are understood, and the others.
fn sort<T: DeserializeOwned>(list: Vec<Value>) -> (Vec<T>, Vec<Value>) {
    let mut known = Vec::with_capacity(list.len());
    let mut others = Vec::new();
    for one in list {
        match T::deserialize(&one) {
            Ok(one) => known.push(one),
            Err(_) => others.push(one),
        }
    }
    (known, others)
}

fn attempt(value: &Value) -> Option<AttemptId> {
    AttemptId::deserialize(&value["attempt"]).ok()
}

// Between a guest and its runner either may be the older: a box lives long.

impl Message for ToGuest {
    fn again(name: String, _: Value, _: Error) -> Result<Heard<Self>, Error> {
        Ok(Heard::Unknown(name))
    }
}

impl Message for FromGuest {
    fn again(name: String, _: Value, _: Error) -> Result<Heard<Self>, Error> {
        Ok(Heard::Unknown(name))
    }
}

/// The names of an enum's variants, as serde writes them; none where a field of it carries the name.
#[must_use]
pub fn names<T: DeserializeOwned>() -> &'static [&'static str] {
    match T::deserialize(Probe) {
        Err(Names(names)) => names,
        Ok(_) => &[],
    }
}

/// Asked for an enum, answers with the names that it was asked for.
struct Probe;

#[derive(Debug)]
struct Names(&'static [&'static str]);

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("names")
    }
}

impl std::error::Error for Names {}

impl de::Error for Names {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(&[])
    }
}

impl<'de> de::Deserializer<'de> for Probe {
    type Error = Names;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Names> {
        Err(Names(&[]))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Names> {
        Err(Names(variants))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn heard<T: Message>(text: &str) -> Result<Heard<T>, String> {
        hear(text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_message_of_a_newer_version_is_skipped_by_its_name() {
        assert_eq!(
            heard::<ToRunner>(r#""ping""#),
            Ok(Heard::Known(ToRunner::Ping))
        );
        for text in [r#""dance""#, r#"{"dance":{"steps":[1,2,{"x":null}]}}"#] {
            let unknown = Heard::Unknown("dance".to_owned());
            assert_eq!(heard::<ToRunner>(text), Ok(unknown));
        }
        let order = r#"{"open":{"id":1,"stream":"hologram"}}"#;
        assert_eq!(
            heard::<ToGuest>(order),
            Ok(Heard::Unknown("open".to_owned()))
        );
    }

    #[test]
    fn what_is_ours_and_makes_no_sense_is_no_message() {
        for bad in [
            r#"{"signal":{"attempt":{"task":17,"number":1}}}"#,
            r#"{"assignments":{"epoch":1,"version":2,"list":[{"attempt":"soon"}]}}"#,
            r#"{"a":1,"b":2}"#,
            "[]",
            "{",
        ] {
            assert!(heard::<ToRunner>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn one_assignment_that_is_not_understood_takes_no_other_with_it() {
        let list = include_str!("../../../tests/fixtures/v1/to_runner.json");
        let Ok(list) = serde_json::from_str::<Vec<Value>>(list) else {
            panic!("{list}");
        };
        let mut list = list[2].clone();
        let known = list["assignments"]["list"][0].clone();
        let mut strange = known.clone();
        strange["attempt"] = json!({"task": 900, "number": 1});
        strange["wanted"] = "hibernate".into();
        let mut gone = strange.clone();
        gone["wanted"] = "drop".into();
        gone["spec"]["image"] = "hologram".into();
        list["assignments"]["list"] = vec![strange, known, gone].into();
        let Ok(Heard::Known(ToRunner::Assignments(read))) = heard(&list.to_string()) else {
            panic!("{list}");
        };
        assert_eq!(read.list.len(), 1);
        assert_eq!(read.unread, ["900.1".parse().unwrap()]);
    }

    #[test]
    fn one_report_that_is_not_understood_takes_no_other_with_it() {
        let text = r#"{"observed":{"version":4,"strangers":[],"engine":{"melting":{"at":3}},"attempts":[
            {"attempt":{"task":1,"number":1},"phase":{"phase":"running","started":5}},
            {"attempt":{"task":2,"number":1},"phase":{"phase":"dreaming"}},
            {"attempt":{"task":3,"number":1},"phase":{"phase":"ended","started":1,"ended":2,"end":{"how":"evaporated"},
             "output":{"stdout":0,"stderr":0}}}]}}"#;
        let Ok(Heard::Known(FromRunner::Observed(read))) = heard(text) else {
            panic!("{text}");
        };
        assert_eq!(read.attempts.len(), 1);
        assert_eq!(
            read.unread,
            ["2.1".parse().unwrap(), "3.1".parse().unwrap()]
        );
        assert!(matches!(read.engine, EngineHealth::Down { .. }));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = hear::<ToRunner>(&bytes);
            let _ = hear::<FromRunner>(&bytes);
            let _ = hear::<FromGuest>(&bytes);
        }
    }
}
