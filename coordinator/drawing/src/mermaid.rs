//! Mermaid, which Git hosts and wikis draw by themselves.

use crate::live::Tone;
use crate::scene::{Line, Node, Scene, Shape};
use std::fmt::Write as _;

/// The scene as a Mermaid flowchart, ending with a line break. Of any size: whoever draws it has its own limits.
pub fn mermaid(scene: &Scene) -> String {
    // Writing to a string cannot fail.
    let mut text = format!("---\ntitle: \"{}\"\n---\nflowchart TB\n", escape(&scene.title));
    for (place, node) in scene.nodes.iter().enumerate() {
        let (open, close) = brackets(node.shape);
        let _ = writeln!(text, "  {}{open}\"{}\"{close}", id(node, place), label(node));
    }
    for edge in &scene.edges {
        let arrow = match edge.line {
            Line::Solid => "-->",
            Line::Dotted => "-.->",
        };
        let label = if edge.label.is_empty() { String::new() } else { format!("|\"{}\"|", escape(&edge.label)) };
        let (from, to) = (id(&scene.nodes[edge.from], edge.from), id(&scene.nodes[edge.to], edge.to));
        let _ = writeln!(text, "  {from} {arrow}{label} {to}");
    }
    classes(scene, &mut text);
    text
}

/// Names of steps such as `end` mean something to Mermaid, so none stands alone.
fn id(node: &Node, place: usize) -> String {
    match node.shape {
        Shape::Failure => format!("failure{place}"),
        Shape::Call | Shape::Child | Shape::Wait | Shape::Sleep | Shape::Approval | Shape::Switch => format!("s_{}", node.name),
    }
}

fn brackets(shape: Shape) -> (&'static str, &'static str) {
    match shape {
        Shape::Call => ("[", "]"),
        Shape::Child => ("[[", "]]"),
        Shape::Wait | Shape::Sleep => ("([", "])"),
        Shape::Approval => ("[/", "/]"),
        Shape::Switch => ("{", "}"),
        Shape::Failure => ("((", "))"),
    }
}

fn label(node: &Node) -> String {
    let mark = if node.fan { " ⨉" } else { "" };
    let first = format!("<b>{}{mark}</b>", escape(&node.name));
    std::iter::once(first).chain(node.lines.iter().map(|line| escape(line))).collect::<Vec<_>>().join("<br/>")
}

fn classes(scene: &Scene, text: &mut String) {
    let handlers: Vec<String> =
        scene.nodes.iter().enumerate().filter(|(_, node)| node.handler).map(|(place, node)| id(node, place)).collect();
    if !handlers.is_empty() {
        let _ = writeln!(text, "  classDef handler stroke-dasharray:5 4\n  class {} handler", handlers.join(","));
    }
    for tone in Tone::ALL {
        let nodes = scene.nodes.iter().enumerate().filter(|(_, node)| node.live.as_ref().is_some_and(|live| Tone::of(&live.state) == tone));
        let ids: Vec<String> = nodes.map(|(place, node)| id(node, place)).collect();
        if !ids.is_empty() {
            let [fill, line, ink] = tone.light();
            let name = tone.as_str();
            let _ = writeln!(text, "  classDef {name} fill:{fill},stroke:{line},color:{ink}\n  class {} {name}", ids.join(","));
        }
    }
}

/// Everything that Mermaid or the HTML it makes could take for something else, as entities.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '<' | '>' | '&' | '#' | ';' | '`' | '\\' | '|' | '{' | '}' | '[' | ']' | '%' => {
                let _ = write!(escaped, "#{};", u32::from(character));
            }
            character if character.is_control() => escaped.push(' '),
            character => escaped.push(character),
        }
    }
    escaped
}
