#[test]
fn write() {
    let text = serde_json::to_string_pretty(&tasker_manifest::editor_schema()).unwrap() + "\n";
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/manifest.schema.json"), text).unwrap();
}
