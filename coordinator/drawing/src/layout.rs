//! Where boxes stand: layers from top to bottom (Sugiyama, Tagawa, Toda: Methods for visual understanding of hierarchical system
//! structures, 1981), ordered by barycentres, with bends where an arrow passes a layer.

/// A box to be placed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub width: f64,
    pub height: f64,
}

/// A point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    pub x: f64,
    pub y: f64,
}

/// Where everything stands.
#[derive(Debug)]
pub(crate) struct Layout {
    /// The centre of each box.
    pub centres: Vec<Point>,
    /// The way of each arrow, from below its first box to above its last.
    pub ways: Vec<Vec<Point>>,
    pub width: f64,
    pub height: f64,
}

/// Between boxes of one layer.
const GAP: f64 = 28.0;
/// Between layers.
const RISE: f64 = 56.0;
/// How often layers are ordered, down and up; more changes little.
const SWEEPS: usize = 8;
/// How often boxes are moved towards their neighbours.
const PULLS: usize = 12;
/// What an arrow needs where it passes a layer.
const BEND: Size = Size { width: 10.0, height: 0.0 };

/// A box, or a bend of an arrow.
struct Cell {
    layer: usize,
    size: Size,
    x: f64,
    above: Vec<usize>,
    below: Vec<usize>,
}

/// Places boxes so that every arrow goes down. The arrows have no circle.
pub(crate) fn layout(sizes: &[Size], edges: &[(usize, usize)]) -> Layout {
    let layers = layers_of(sizes.len(), edges);
    let mut cells: Vec<Cell> =
        sizes.iter().zip(&layers).map(|(size, layer)| Cell { layer: *layer, size: *size, x: 0.0, above: vec![], below: vec![] }).collect();
    let chains: Vec<Vec<usize>> = edges.iter().map(|(from, to)| chain(&mut cells, *from, *to)).collect();
    let mut rows = rows_of(&cells);
    for sweep in 0..SWEEPS {
        order(&mut rows, &cells, sweep % 2 == 0);
    }
    place(&rows, &mut cells);
    let heights: Vec<f64> = rows.iter().map(|row| row.iter().map(|cell| cells[*cell].size.height).fold(0.0, f64::max)).collect();
    let mut tops = Vec::new();
    let mut top = 0.0;
    for height in &heights {
        tops.push(top);
        top += height + RISE;
    }
    let middle = |cell: &Cell| tops[cell.layer] + heights[cell.layer] / 2.0;
    let ways = chains.iter().map(|chain| way(chain, &cells, &middle, &tops, &heights)).collect();
    let right = cells.iter().map(|cell| cell.x + cell.size.width / 2.0).fold(0.0, f64::max);
    let centres = cells[..sizes.len()].iter().map(|cell| Point { x: cell.x, y: middle(cell) }).collect();
    Layout { centres, ways, width: right, height: (top - RISE).max(0.0) }
}

/// Each box one layer below the lowest of those that point to it.
fn layers_of(count: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut layers = vec![0; count];
    let mut open = vec![0_usize; count];
    edges.iter().for_each(|(_, to)| open[*to] += 1);
    let mut next: Vec<usize> = (0..count).filter(|node| open[*node] == 0).collect();
    while let Some(node) = next.pop() {
        for (_, to) in edges.iter().filter(|(from, _)| *from == node) {
            layers[*to] = layers[*to].max(layers[node] + 1);
            open[*to] -= 1;
            if open[*to] == 0 {
                next.push(*to);
            }
        }
    }
    layers
}

/// The cells that an arrow passes, its ends included.
fn chain(cells: &mut Vec<Cell>, from: usize, to: usize) -> Vec<usize> {
    let mut chain = vec![from];
    for layer in cells[from].layer + 1..cells[to].layer {
        chain.push(cells.len());
        cells.push(Cell { layer, size: BEND, x: 0.0, above: vec![], below: vec![] });
    }
    chain.push(to);
    for pair in chain.windows(2) {
        cells[pair[0]].below.push(pair[1]);
        cells[pair[1]].above.push(pair[0]);
    }
    chain
}

fn rows_of(cells: &[Cell]) -> Vec<Vec<usize>> {
    let mut rows = vec![Vec::new(); cells.iter().map(|cell| cell.layer + 1).max().unwrap_or(0)];
    cells.iter().enumerate().for_each(|(place, cell)| rows[cell.layer].push(place));
    rows
}

/// Orders each row by the mean place of its neighbours in the row before (or after).
fn order(rows: &mut [Vec<usize>], cells: &[Cell], down: bool) {
    let mut places = vec![0.0; cells.len()];
    let sequence: Vec<usize> = if down { (0..rows.len()).collect() } else { (0..rows.len()).rev().collect() };
    for row in sequence {
        let weight = |cell: usize, places: &[f64], own: usize| {
            let neighbours = if down { &cells[cell].above } else { &cells[cell].below };
            if neighbours.is_empty() {
                own as f64
            } else {
                neighbours.iter().map(|other| places[*other]).sum::<f64>() / neighbours.len() as f64
            }
        };
        let mut weighed: Vec<(f64, usize)> = rows[row].iter().enumerate().map(|(own, cell)| (weight(*cell, &places, own), *cell)).collect();
        // The sort is stable, so that equals keep the order of the manifest.
        weighed.sort_by(|left, right| left.0.total_cmp(&right.0));
        rows[row] = weighed.into_iter().map(|(_, cell)| cell).collect();
        rows[row].iter().enumerate().for_each(|(place, cell)| places[*cell] = place as f64);
    }
}

/// Gives every cell its x: first side by side, then pulled towards its neighbours as far as the row allows.
fn place(rows: &[Vec<usize>], cells: &mut [Cell]) {
    for row in rows {
        let mut x = 0.0;
        for cell in row {
            cells[*cell].x = x + cells[*cell].size.width / 2.0;
            x += cells[*cell].size.width + GAP;
        }
    }
    for pull in 0..PULLS {
        let sequence: Vec<usize> = if pull % 2 == 0 { (0..rows.len()).collect() } else { (0..rows.len()).rev().collect() };
        for row in sequence {
            let wishes: Vec<f64> = rows[row]
                .iter()
                .map(|cell| {
                    let neighbours: Vec<f64> = cells[*cell].above.iter().chain(&cells[*cell].below).map(|other| cells[*other].x).collect();
                    if neighbours.is_empty() { cells[*cell].x } else { neighbours.iter().sum::<f64>() / neighbours.len() as f64 }
                })
                .collect();
            spread(&rows[row], cells, &wishes);
        }
    }
    let left = cells.iter().map(|cell| cell.x - cell.size.width / 2.0).fold(f64::MAX, f64::min);
    cells.iter_mut().for_each(|cell| cell.x -= left);
}

/// Puts a row as near to its wishes as its order allows: the mean of the arrangement that yields to the right and of the one that
/// yields to the left, both of which keep the gaps.
fn spread(row: &[usize], cells: &mut [Cell], wishes: &[f64]) {
    let apart = |left: usize, right: usize, cells: &[Cell]| (cells[left].size.width + cells[right].size.width) / 2.0 + GAP;
    let mut rightwards = wishes.to_vec();
    for at in 1..row.len() {
        rightwards[at] = rightwards[at].max(rightwards[at - 1] + apart(row[at - 1], row[at], cells));
    }
    let mut leftwards = wishes.to_vec();
    for at in (1..row.len()).rev() {
        leftwards[at - 1] = leftwards[at - 1].min(leftwards[at] - apart(row[at - 1], row[at], cells));
    }
    for (at, cell) in row.iter().enumerate() {
        cells[*cell].x = (rightwards[at] + leftwards[at]) / 2.0;
    }
}

fn way(chain: &[usize], cells: &[Cell], middle: &dyn Fn(&Cell) -> f64, tops: &[f64], heights: &[f64]) -> Vec<Point> {
    let last = chain.len() - 1;
    let mut points = Vec::new();
    for (at, cell) in chain.iter().enumerate() {
        let cell = &cells[*cell];
        let half = cell.size.height / 2.0;
        match at {
            0 => points.push(Point { x: cell.x, y: middle(cell) + half }),
            _ if at == last => points.push(Point { x: cell.x, y: middle(cell) - half }),
            // Straight through the layer, so that no box of it is crossed.
            _ => points.extend([tops[cell.layer], tops[cell.layer] + heights[cell.layer]].map(|y| Point { x: cell.x, y })),
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_box_touches_another_and_every_arrow_goes_down() {
        let size = |width| Size { width, height: 40.0 };
        let sizes: Vec<Size> = (0..24).map(|node| size(60.0 + f64::from(node % 5) * 30.0)).collect();
        let edges: Vec<(usize, usize)> =
            (1..24).flat_map(|node| [(node / 2, node), (node / 3, node)]).filter(|(from, to)| from != to).collect();
        let Layout { centres, ways, width, height } = layout(&sizes, &edges);
        for (left, right) in (0..24).flat_map(|left| (left + 1..24).map(move |right| (left, right))) {
            let across = (centres[left].x - centres[right].x).abs() >= (sizes[left].width + sizes[right].width) / 2.0;
            let down = (centres[left].y - centres[right].y).abs() >= 40.0;
            assert!(across || down, "{left} and {right}");
        }
        assert!(ways.iter().all(|way| way.windows(2).all(|pair| pair[0].y <= pair[1].y)));
        let inside = centres.iter().zip(&sizes).all(|(centre, size)| {
            centre.x - size.width / 2.0 >= -0.001 && centre.x + size.width / 2.0 <= width + 0.001 && centre.y + 20.0 <= height + 0.001
        });
        assert!(inside);
    }
}
