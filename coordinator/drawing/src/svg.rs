//! SVG without any other program: shows itself in a browser, on light and dark grounds.

use crate::layout::{Layout, Point, Size, layout};
use crate::live::Tone;
use crate::scene::{Line, Node, Scene, Shape};
use std::fmt::Write as _;

/// More steps than this are not drawn as SVG: nobody finds anything in such a picture, and its layout would take long.
pub const SVG_STEPS_MAX: usize = 300;

/// More arrows than this are not drawn either: each bends at every layer that it passes.
pub const SVG_ARROWS_MAX: usize = 2_000;

/// The workflow has more steps or arrows than are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge {
    /// How many steps there are.
    pub steps: usize,
    /// How many arrows there are.
    pub arrows: usize,
}

impl std::fmt::Display for TooLarge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { steps, arrows } = self;
        write!(f, "the workflow has {steps} steps and {arrows} arrows; at most {SVG_STEPS_MAX} and {SVG_ARROWS_MAX} are drawn as SVG")
    }
}

impl std::error::Error for TooLarge {}

/// What one character is wide, in the fonts of the picture; a little more than most have.
const CHARACTER: f64 = 7.0;
const NAME_LINE: f64 = 18.0;
const LINE: f64 = 15.0;
const PADDING: f64 = 12.0;
const MARGIN: f64 = 24.0;
const TITLE: f64 = 34.0;

/// The scene as an SVG document, ending with a line break.
///
/// # Errors
/// The workflow has more than [`SVG_STEPS_MAX`] steps or [`SVG_ARROWS_MAX`] arrows; [`crate::mermaid()`] and [`crate::dot()`] draw it all the same.
pub fn svg(scene: &Scene) -> Result<String, TooLarge> {
    let steps = scene.nodes.iter().filter(|node| node.shape != Shape::Failure).count();
    let arrows = scene.edges.len();
    if steps > SVG_STEPS_MAX || arrows > SVG_ARROWS_MAX {
        return Err(TooLarge { steps, arrows });
    }
    let sizes: Vec<Size> = scene.nodes.iter().map(size).collect();
    let edges: Vec<(usize, usize)> = scene.edges.iter().map(|edge| (edge.from, edge.to)).collect();
    let Layout { centres, ways, width, height } = layout(&sizes, &edges);
    let width = width.max(scene.title.chars().count() as f64 * 9.0) + 2.0 * MARGIN;
    let height = height + 2.0 * MARGIN + TITLE;
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\" aria-label=\"{}\">",
        escape(&scene.title)
    );
    let _ = writeln!(text, "<title>{}</title>", escape(&scene.title));
    style(&mut text);
    let _ = writeln!(text, "<rect class=\"ground\" width=\"100%\" height=\"100%\"/>");
    let _ = writeln!(text, "<text class=\"title\" x=\"{MARGIN}\" y=\"32\">{}</text>", escape(&scene.title));
    let _ = writeln!(text, "<g transform=\"translate({MARGIN} {})\">", MARGIN + TITLE);
    for (edge, way) in scene.edges.iter().zip(&ways) {
        let class = match edge.line {
            Line::Solid => "edge",
            Line::Dotted => "edge dotted",
        };
        let _ = writeln!(text, "<path class=\"{class}\" d=\"{}\" marker-end=\"url(#arrow)\"/>", curve(way));
    }
    for ((node, centre), size) in scene.nodes.iter().zip(&centres).zip(&sizes) {
        draw(node, *centre, *size, &mut text);
    }
    // Last, so that no arrow and no box hides a label.
    for (edge, way) in scene.edges.iter().zip(&ways).filter(|(edge, _)| !edge.label.is_empty()) {
        label(&edge.label, way, &mut text);
    }
    text.push_str("</g>\n</svg>\n");
    Ok(text)
}

fn size(node: &Node) -> Size {
    let longest = node.lines.iter().map(|line| line.chars().count() as f64 * CHARACTER * 0.9);
    let widest = longest.fold(node.name.chars().count() as f64 * CHARACTER * 1.1, f64::max);
    let slant = match node.shape {
        Shape::Switch | Shape::Approval => 28.0,
        Shape::Call | Shape::Child | Shape::Wait | Shape::Sleep | Shape::Failure => 0.0,
    };
    Size { width: widest.max(70.0) + 2.0 * PADDING + slant, height: NAME_LINE + node.lines.len() as f64 * LINE + 2.0 * PADDING - 4.0 }
}

fn draw(node: &Node, centre: Point, size: Size, text: &mut String) {
    let (left, top) = (centre.x - size.width / 2.0, centre.y - size.height / 2.0);
    let tone = node.live.as_ref().map_or("plain", |live| Tone::of(&live.state).as_str());
    let handler = if node.handler { " handler" } else { "" };
    let _ = writeln!(text, "<g class=\"{tone}{handler}\">");
    if node.fan {
        let _ = writeln!(text, "{}", outline(node.shape, left + 5.0, top - 5.0, size));
    }
    let _ = writeln!(text, "{}", outline(node.shape, left, top, size));
    let mut y = top + PADDING + 11.0;
    let _ = writeln!(text, "<text class=\"name\" x=\"{:.1}\" y=\"{y:.1}\">{}</text>", centre.x, escape(&node.name));
    for line in &node.lines {
        y += LINE;
        let _ = writeln!(text, "<text class=\"line\" x=\"{:.1}\" y=\"{y:.1}\">{}</text>", centre.x, escape(line));
    }
    text.push_str("</g>\n");
}

fn outline(shape: Shape, left: f64, top: f64, Size { width, height }: Size) -> String {
    let (right, bottom, middle) = (left + width, top + height, top + height / 2.0);
    match shape {
        Shape::Call => format!("<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"5\"/>"),
        Shape::Child => format!(
            "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/><path d=\"M{:.1} {top:.1}V{bottom:.1}M{:.1} {top:.1}V{bottom:.1}\"/>",
            left + 6.0,
            right - 6.0
        ),
        Shape::Wait | Shape::Sleep | Shape::Failure => {
            format!("<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"{:.1}\"/>", height / 2.0)
        }
        Shape::Approval => {
            format!("<path d=\"M{:.1} {top:.1}H{right:.1}L{:.1} {bottom:.1}H{left:.1}Z\"/>", left + 14.0, right - 14.0)
        }
        Shape::Switch => format!(
            "<path d=\"M{left:.1} {middle:.1}L{:.1} {top:.1}H{:.1}L{right:.1} {middle:.1}L{:.1} {bottom:.1}H{:.1}Z\"/>",
            left + 14.0,
            right - 14.0,
            right - 14.0,
            left + 14.0
        ),
    }
}

/// A smooth way through all points, upright at each.
fn curve(way: &[Point]) -> String {
    let mut path = format!("M{:.1} {:.1}", way[0].x, way[0].y);
    for pair in way.windows(2) {
        let half = (pair[0].y + pair[1].y) / 2.0;
        let _ = write!(path, "C{:.1} {half:.1} {:.1} {half:.1} {:.1} {:.1}", pair[0].x, pair[1].x, pair[1].x, pair[1].y);
    }
    path
}

/// A label beside the end of its arrow, where arrows from one box are furthest apart.
fn label(label: &str, way: &[Point], text: &mut String) {
    let (from, to) = (way[0], way[1]);
    let (x, y) = (from.x + (to.x - from.x) * 0.6, from.y + (to.y - from.y) * 0.6);
    let width = label.chars().count() as f64 * CHARACTER * 0.9 + 8.0;
    let _ = writeln!(
        text,
        "<rect class=\"ground\" x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"15\" rx=\"3\"/>",
        x - width / 2.0,
        y - 8.0
    );
    let _ = writeln!(text, "<text class=\"label\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>", y + 3.5, escape(label));
}

fn style(text: &mut String) {
    text.push_str("<style>\n");
    text.push_str("text{font-family:system-ui,Helvetica,Arial,sans-serif;text-anchor:middle}\n");
    text.push_str(
        ".title{font-size:16px;font-weight:600;text-anchor:start}.name{font-size:13px;font-weight:600}.line,.label{font-size:11px}\n",
    );
    text.push_str("g rect,g path{stroke-width:1.4}.handler rect,.handler path{stroke-dasharray:5 4}\n");
    text.push_str(".edge{fill:none}.dotted{stroke-dasharray:2 4}.ground{stroke:none!important}\n");
    palette(text, ["#ffffff", "#1f2328", "#57606a"], ["#f6f8fa", "#57606a", "#1f2328"], Tone::light);
    text.push_str("@media (prefers-color-scheme:dark){\n");
    palette(text, ["#0d1117", "#e6edf3", "#9aa4b0"], ["#1b222b", "#9aa4b0", "#e6edf3"], Tone::dark);
    text.push_str("}\n</style>\n");
    text.push_str("<defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path class=\"head\" d=\"M0 0L8 4L0 8Z\"/></marker></defs>\n");
}

fn palette(text: &mut String, [ground, ink, line]: [&str; 3], plain: [&str; 3], of_tone: fn(Tone) -> [&'static str; 3]) {
    let _ = writeln!(text, ".ground{{fill:{ground}}}.title,.label{{fill:{ink}}}.edge{{stroke:{line}}}.head{{fill:{line}}}");
    let tones = Tone::ALL.map(|tone| (tone.as_str(), of_tone(tone)));
    for (name, [fill, line, ink]) in [("plain", plain)].into_iter().chain(tones) {
        let _ = writeln!(text, ".{name} rect,.{name} path{{fill:{fill};stroke:{line}}}.{name} text{{fill:{ink}}}");
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            character if character.is_control() => escaped.push(' '),
            character => escaped.push(character),
        }
    }
    escaped
}
