//! Random small workflows, as the text of a manifest.

use crate::chance::Chance;
use crate::grammar::{Names, Want, expression};
use crate::shape::{Field, Shape};
use serde_json::{Map, Value, json};

/// A manifest and what its systems give.
pub struct Case {
    /// JSON, which is YAML.
    pub text: String,
    pub input: Shape,
    /// What each step gives once: by its name; steps that are no calls are not in it.
    pub results: Vec<(String, Shape)>,
}

/// Draws a workflow.
pub fn case(chance: &mut Chance) -> Case {
    let input = Shape::object(chance, 2);
    let mut names = Names::default();
    names.add("task.input", &input, false);
    let (mut capabilities, mut steps, mut results) = (Vec::new(), Vec::new(), Vec::new());
    let mut branches: Vec<(String, String)> = Vec::new();
    let count = 2 + chance.below(3);
    for place in 0..count {
        let name = format!("s{place}");
        let (mut step, doubtful) = base(chance, &name, &names.steps, &branches);
        if place > 0 && place + 1 < count && chance.percent(15) {
            step.insert("switch".into(), switch(chance, &names, place, &mut branches));
            steps.push(Value::Object(step));
            names.steps.push(name);
            continue;
        }
        let result = Shape::object(chance, 1);
        let mut inner = names.clone();
        let fans = chance.percent(15).then(|| fan(chance, &names)).flatten();
        if let Some((for_each, item)) = &fans {
            step.insert("for_each".into(), for_each.clone());
            inner.add("item", item, false);
        }
        call(chance, &name, &inner, &result, &mut step, &mut capabilities);
        handlers(chance, &name, &names, &result, &mut step, &mut steps, &mut capabilities, &mut results);
        steps.push(Value::Object(step));
        let seen = if fans.is_some() { Shape::List(Box::new(result.clone()), 0) } else { result.clone() };
        // Whether a later step needs a guard is for the checker to say; here it is a guess.
        names.add(&format!("steps.{name}.result"), &seen, doubtful || chance.percent(93));
        names.steps.push(name.clone());
        results.push((name, result));
    }
    let told = chance.percent(25);
    if told {
        let (mut step, result) = (Map::from_iter([("name".to_owned(), json!("tell"))]), Shape::object(chance, 0));
        call(chance, "tell", &names, &result, &mut step, &mut capabilities);
        step.remove("when");
        steps.push(Value::Object(step));
        results.push(("tell".into(), result));
    }
    let mut manifest = json!({
        "name": "drawn", "version": "1.0.0", "input": input.schema(),
        "systems": { "shop": { "capabilities": capabilities } },
        "workflow_steps": steps,
    });
    if told {
        manifest["on_failure"] = json!("tell");
    }
    if chance.percent(60) {
        manifest["result"] = json!({ "value": text(&expression(chance, &names, Want::Text, 2)), "raw": text(&if chance.percent(10) { names.careless(chance) } else { expression(chance, &names, Want::Integer, 2) }) });
    }
    Case { text: manifest.to_string(), input, results }
}

fn text(expression: &str) -> String {
    format!("${{ {expression} }}")
}

/// Name, dependencies and join; and whether later steps must expect that it was skipped or failed.
fn base(chance: &mut Chance, name: &str, before: &[String], branches: &[(String, String)]) -> (Map<String, Value>, bool) {
    let mut step = Map::new();
    step.insert("name".into(), json!(name));
    // All that comes before is a dependency, directly or not, so that it may be named.
    let mut depends_on: Vec<&String> = before.iter().rev().take(1 + chance.below(3)).collect();
    depends_on.retain(|other| !branches.iter().any(|(switch, step)| switch == *other && step == name) || before.len() < 2);
    if !depends_on.is_empty() {
        step.insert("depends_on".into(), json!(depends_on));
    }
    let mut doubtful = branches.iter().any(|(_, step)| step == name);
    if depends_on.len() > 1 && chance.percent(50) {
        let joins = [
            json!("any"),
            json!("done"),
            json!("first"),
            json!({ "first": "cancel" }),
            json!({ "at_least": 2, "others": "cancel" }),
            json!("all"),
        ];
        step.insert("join".into(), chance.pick(&joins).clone());
    } else if depends_on.len() == 1 && chance.percent(20) {
        step.insert("join".into(), json!("done"));
    }
    if chance.percent(25) {
        let reaction = chance.pick(&["continue", "wait", "fail"]);
        doubtful |= *reaction != "fail";
        step.insert("on_exhausted".into(), json!(reaction));
    }
    (step, doubtful)
}

fn switch(chance: &mut Chance, names: &Names, place: usize, branches: &mut Vec<(String, String)>) -> Value {
    let next = format!("s{}", place + 1);
    branches.push((format!("s{place}"), next.clone()));
    let on = match chance.below(3) {
        0 => names.word(chance).unwrap_or_else(|| "task.id".into()),
        1 => format!("({} ? 'low' : 'high')", expression(chance, names, Want::Boolean, 1)),
        _ => expression(chance, names, Want::Text, 1),
    };
    let mut switch = json!({ "on": text(&on), "cases": { "low": next, "high": [] } });
    if chance.percent(90) {
        switch["default"] = if chance.percent(30) { json!(next) } else { json!([]) };
    }
    switch
}

/// A list that can be named, and what its items are.
fn fan(chance: &mut Chance, names: &Names) -> Option<(Value, Shape)> {
    let (path, item) = names.list(chance)?;
    let mut for_each = json!({ "items": text(&path) });
    match chance.below(4) {
        0 => for_each["stop"] = json!("never"),
        1 => for_each["stop"] = json!({ "failures": 2 }),
        _ => {}
    }
    if chance.percent(25) {
        for_each["batch_size"] = json!(2);
        return Some((for_each, Shape::List(Box::new(item), 1)));
    }
    Some((for_each, item))
}

/// A capability of its own for a step, and a mapping that should fit it.
fn call(chance: &mut Chance, name: &str, names: &Names, result: &Shape, step: &mut Map<String, Value>, capabilities: &mut Vec<Value>) {
    let (mut fields, mut mapping) = (Vec::new(), Map::new());
    for field in ["p", "q", "r"].into_iter().take(1 + chance.below(3)) {
        let (want, shape) = match chance.below(6) {
            0 => (Want::Boolean, Shape::Boolean),
            1 => (Want::Integer, Shape::Integer(-100_000, 100_000)),
            2 => (Want::Integer, Shape::Integer(-5, 20)),
            3 => (Want::Float, Shape::Number),
            4 => (Want::Text, Shape::Words(vec!["low", "high", "x", "1"])),
            _ => (Want::Text, Shape::Text),
        };
        let required = chance.percent(80);
        if required || chance.percent(60) {
            let source = if chance.percent(2) { names.careless(chance) } else { expression(chance, names, want, 2) };
            mapping.insert(field.into(), json!(text(&source)));
        }
        fields.push(Field { name: field, shape: Shape::Nullable(Box::new(shape)), required });
    }
    // Arithmetic has no bounds that a schema could name, so that some places take any number.
    let mut schema = Shape::Object { fields, closed: chance.percent(50) }.schema();
    for (_, property) in schema["properties"].as_object_mut().expect("an object").iter_mut() {
        let tight = chance.percent(8);
        let options = property["anyOf"].as_array_mut().expect("a list");
        if !tight && let Some(option) = options[0].as_object_mut() {
            option.remove("minimum");
            option.remove("maximum");
            if option.contains_key("enum") {
                *option = json!({ "type": "string" }).as_object().expect("an object").clone();
            }
        }
        if chance.percent(80) {
            *property = options[0].clone();
        }
    }
    let capability = format!("shop.{name}");
    capabilities.push(json!({ "name": capability, "input": schema, "result": result.schema() }));
    step.insert("owner".into(), json!("shop"));
    step.insert("capability".into(), json!(capability));
    if chance.percent(98) {
        step.insert("input".into(), Value::Object(mapping));
    }
    step.insert("retry".into(), json!({ "max_attempts": 1 }));
    if chance.percent(30) {
        let condition = expression(chance, names, Want::Boolean, 2);
        if !condition.contains("item") && (condition.contains("task.") || condition.contains("steps.")) {
            step.insert("when".into(), json!(text(&condition)));
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "the parts of the manifest that grow with a step")]
fn handlers(
    chance: &mut Chance,
    name: &str,
    names: &Names,
    result: &Shape,
    step: &mut Map<String, Value>,
    steps: &mut Vec<Value>,
    capabilities: &mut Vec<Value>,
    results: &mut Vec<(String, Shape)>,
) {
    let mut handler = |chance: &mut Chance, handler: String, names: &Names, result: &Shape| {
        let mut written = Map::from_iter([("name".to_owned(), json!(handler))]);
        call(chance, &handler, names, result, &mut written, capabilities);
        written.remove("when");
        steps.push(Value::Object(written));
        results.push((handler, result.clone()));
    };
    if chance.percent(15) {
        let mut seen = names.clone();
        let own = if step.contains_key("for_each") { Shape::List(Box::new(result.clone()), 0) } else { result.clone() };
        seen.add(&format!("steps.{name}.result"), &own, false);
        seen.steps.push(name.to_owned());
        step.insert("compensate".into(), json!(format!("{name}_undo")));
        let undone = Shape::object(chance, 0);
        handler(chance, format!("{name}_undo"), &seen, &undone);
    }
    if chance.percent(12) && !step.contains_key("for_each") {
        let mut seen = names.clone();
        seen.steps.push(name.to_owned());
        step.insert("on_exhausted".into(), json!({ "fallback": format!("{name}_instead") }));
        let other = if chance.percent(50) { result.clone() } else { Shape::object(chance, 1) };
        handler(chance, format!("{name}_instead"), &seen, &other);
    }
}
