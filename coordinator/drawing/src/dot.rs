//! DOT, the language of Graphviz.

use crate::live::Tone;
use crate::scene::{Line, Node, Scene, Shape};
use std::fmt::Write as _;

/// The scene as a DOT digraph, ending with a line break. Of any size.
pub fn dot(scene: &Scene) -> String {
    // Writing to a string cannot fail.
    let mut text = format!("digraph {} {{\n", quoted(&scene.title));
    let _ = writeln!(text, "  label={}; labelloc=t; rankdir=TB;", quoted(&scene.title));
    text.push_str("  node [fontname=\"Helvetica\", fontsize=11];\n  edge [fontname=\"Helvetica\", fontsize=10];\n");
    for (place, node) in scene.nodes.iter().enumerate() {
        let _ = writeln!(text, "  n{place} [{}];", attributes(node));
    }
    for edge in &scene.edges {
        let mut attributes = Vec::new();
        if !edge.label.is_empty() {
            attributes.push(format!("label={}", quoted(&edge.label)));
        }
        if edge.line == Line::Dotted {
            attributes.push("style=dotted".to_owned());
        }
        let attributes = if attributes.is_empty() { String::new() } else { format!(" [{}]", attributes.join(", ")) };
        let _ = writeln!(text, "  n{} -> n{}{attributes};", edge.from, edge.to);
    }
    text.push_str("}\n");
    text
}

fn attributes(node: &Node) -> String {
    let shape = match node.shape {
        Shape::Call => "box",
        Shape::Child => "box3d",
        Shape::Wait | Shape::Sleep => "oval",
        Shape::Approval => "parallelogram",
        Shape::Switch => "diamond",
        Shape::Failure => "circle",
    };
    let label: Vec<&str> = std::iter::once(node.name.as_str()).chain(node.lines.iter().map(String::as_str)).collect();
    let mut attributes = vec![format!("label={}", quoted(&label.join("\n"))), format!("shape={shape}")];
    if node.fan {
        attributes.push("peripheries=2".to_owned());
    }
    let mut styles = Vec::new();
    if node.handler {
        styles.push("dashed");
    }
    if let Some(live) = &node.live {
        let [fill, line, ink] = Tone::of(&live.state).light();
        styles.push("filled");
        attributes.push(format!("fillcolor=\"{fill}\", color=\"{line}\", fontcolor=\"{ink}\""));
    }
    if !styles.is_empty() {
        attributes.push(format!("style=\"{}\"", styles.join(",")));
    }
    attributes.join(", ")
}

/// A quoted string: only quotes, backslashes and line ends mean something in it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            character if character.is_control() => quoted.push(' '),
            character => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}
