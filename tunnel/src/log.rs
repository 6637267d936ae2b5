//! The log of gateway and runner: lines for people, or one JSON object each (`log` in their configurations).
//!
//! What strangers say comes into it. It ends no line, begins none, and drives no terminal: every harmful character
//! is spelt out at the only way to standard error, whoever wrote it into whichever field.

use std::fmt;
use std::io::{self, Write};

use cluster::text::is_harmful;
use serde::Deserialize;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    #[default]
    Text,
    Json,
}

impl Form {
    /// As in a configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// From now on, to standard error. `filter`: what is told where `RUST_LOG` says nothing. `node`: whose log it is.
pub fn start(program: &'static str, form: Form, filter: &str, node: Option<String>) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| filter.into());
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        // It would tell standard error that standard error takes nothing, and panic: a full disk ends no program.
        .log_internal_errors(false);
    match form {
        Form::Text => lines.with_writer(Plain(io::stderr)).init(),
        Form::Json => {
            let objects = Objects { program, node };
            lines.event_format(objects).with_writer(io::stderr).init();
        }
    }
}

/// Lines for people, made harmless: each event comes in one write and leaves as one line.
struct Plain<M>(M);

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for Plain<M> {
    type Writer = Line<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Line(self.0.make_writer())
    }
}

struct Line<W>(W);

impl<W: Write> Write for Line<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let mut line = String::with_capacity(text.len() + 1);
        for c in text.chars() {
            match c {
                '\n' => line.push_str("\\n"),
                '\t' => line.push_str("\\t"),
                c if is_harmful(c) => line.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
                c => line.push(c),
            }
        }
        line.push('\n');
        self.0.write_all(line.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// One object a line. Always there: `time` (RFC 3339), `level`, `program`, `target`, `message`; of a runner `node`.
/// Where they are known: `node`, `task` (its number), `attempt` (`17.1`), `account`, `source` (address and port),
/// `error`. All others are of their message.
struct Objects {
    program: &'static str,
    node: Option<String>,
}

impl<S, N> FormatEvent<S, N> for Objects
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let mut fields = Fields(Map::new());
        event.record(&mut fields);
        let known = event.metadata();
        let own = [
            ("time", time),
            ("level", known.level().to_string().to_lowercase()),
            ("program", self.program.to_owned()),
        ];
        let object = object(fields.0, known.target(), own, self.node.as_ref());
        writeln!(writer, "{}", harmless(&Value::Object(object).to_string()))
    }
}

/// Names that an event cannot take are put over its own.
fn object(
    mut fields: Map<String, Value>,
    target: &str,
    own: [(&str, String); 3],
    node: Option<&String>,
) -> Map<String, Value> {
    // Of the `log` crate, as others of our programs' parts use it.
    let theirs = fields.remove("log.target");
    fields.retain(|name, _| !name.starts_with("log."));
    fields.insert("target".to_owned(), theirs.unwrap_or_else(|| target.into()));
    if let Some(number) = fields
        .get("task")
        .or(fields.get("attempt"))
        .and_then(number)
    {
        fields.insert("task".to_owned(), number.into());
    }
    if let Some(node) = node {
        fields.entry("node").or_insert_with(|| node.clone().into());
    }
    let own = own.map(|(name, value)| (name.to_owned(), value.into()));
    fields.extend(own);
    fields
}

/// 17 of `task-17`, `vps-17`, `17.1`.
fn number(value: &Value) -> Option<u64> {
    let text = value.as_str()?;
    let text = text.split_once('-').map_or(text, |(_, number)| number);
    text.split('.').next()?.parse().ok()
}

/// JSON escapes what it must; a C1 byte or a change of direction is none of that to it.
fn harmless(json: &str) -> String {
    let mut line = String::with_capacity(json.len());
    for c in json.chars() {
        if is_harmful(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                line.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            line.push(c);
        }
    }
    line
}

struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::subscriber::with_default;
    use tracing::{info, warn};

    use super::*;

    /// Where lines go in tests.
    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Sink {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    /// A name as a stranger would choose it: a line of its own, an escape, a change of direction, a C1 control.
    const HOSTILE: &str = "x\n2026-01-01T00:00:00Z  INFO river: all is well\x1b[2J\u{202e}\u{9b}";

    /// Each way into a line.
    fn say() {
        warn!(node = HOSTILE, account = %HOSTILE, words = ?HOSTILE, "{HOSTILE}");
    }

    fn plain(what: impl FnOnce()) -> String {
        let sink = Sink::default();
        let into = sink.clone();
        let lines = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(Plain(move || into.clone()));
        with_default(lines.finish(), what);
        sink.text()
    }

    fn objects(node: Option<&str>, what: impl FnOnce()) -> String {
        let sink = Sink::default();
        let into = sink.clone();
        let objects = Objects {
            program: "river-test",
            node: node.map(ToOwned::to_owned),
        };
        let lines = tracing_subscriber::fmt()
            .event_format(objects)
            .with_writer(move || into.clone());
        with_default(lines.finish(), what);
        sink.text()
    }

    #[test]
    fn a_hostile_name_forges_no_line_and_drives_no_terminal_in_either_form() {
        for text in [plain(say), objects(None, say)] {
            assert_eq!(text.lines().count(), 1, "{text:?}");
            assert!(text.ends_with('\n'));
            let harm = text.trim_end_matches('\n').chars().find(|c| is_harmful(*c));
            assert_eq!(harm, None, "{text:?}");
        }
    }

    #[test]
    fn each_line_is_an_object_with_the_same_names() {
        let text = objects(Some("n1"), || {
            info!(attempt = "17.2", bytes = 9, "it ended");
            info!(task = "task-4", source = "10.0.0.7:9", node = "n2", "seen");
            say();
        });
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let [first, second, hostile] = &lines[..] else {
            panic!("{text}");
        };
        for line in &lines {
            for name in ["time", "level", "program", "target", "message", "node"] {
                assert!(line[name].is_string(), "{name} of {line}");
            }
        }
        assert_eq!(first["task"], 17);
        assert_eq!((&first["bytes"], &first["node"]), (&9.into(), &"n1".into()));
        assert_eq!(
            (&second["task"], &second["node"]),
            (&4.into(), &"n2".into())
        );
        assert_eq!(
            (&hostile["node"], &hostile["level"]),
            (&HOSTILE.into(), &"warn".into())
        );
    }
}
