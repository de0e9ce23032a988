//! `tasker workflow schema`

use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Format;

/// Prints the schema of manifests: as JSON, whatever the format, because that is what editors read; as YAML if asked for.
pub(super) fn run(console: &mut Console) -> Result<Exit, Failure> {
    let schema = tasker_manifest::editor_schema();
    if console.format() == Format::Yaml {
        let answer = serde_json::value::to_raw_value(&schema).expect("a JSON value always prints");
        console.answer(&answer, |_| Ok(String::new()))?;
    } else {
        let text = serde_json::to_string_pretty(&schema).expect("a JSON value always prints");
        console.line(&text)?;
    }
    Ok(Exit::Success)
}
