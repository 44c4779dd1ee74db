//! Curves as a picture: SVG with axes, a legend in HTML, and the same numbers as a table.
//!
//! It scales with the page and needs no script. Whoever can't see it has the title, the description and the
//! table. Numbers that are not finite are left out.

mod axis;

use self::axis::Axis;
pub use self::axis::{Floor, Scale};
use super::html;
use super::html::Cell;
use super::units::number;
use std::fmt::Write as _;

/// Size of the picture in its own units.
const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 260.0;
/// Margins of the area in which curves are drawn.
const LEFT: f64 = 56.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 42.0;
/// How far a curve may reach over the area: half a dot.
const EDGE: f64 = 4.0;
/// Number of colours; further series are dashed.
const COLOURS: usize = 10;
/// Most points of a curve that has a dot at each.
const DOTS_MAX: usize = 40;
/// Rows of the table.
const ROWS: usize = 10;

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Pale, with the range of what was merged.
    Raw,
    /// Strong.
    Line,
    /// Strong, with a dot at each point where there are few.
    Dots,
    /// Dots alone.
    Cloud,
}

/// A point of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Place {
    pub x: f64,
    pub y: f64,
    /// Least and greatest value of what was merged.
    pub range: Option<[f64; 2]>,
}

/// A curve of a chart.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Series {
    pub name: String,
    pub places: Vec<Place>,
    pub look: Look,
    /// Number of the colour; series of one colour belong together.
    pub colour: usize,
}

/// Several curves over one axis.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Chart {
    pub title: String,
    pub x_name: String,
    pub x_scale: Scale,
    pub x_floor: Floor,
    pub y_name: &'static str,
    pub scale: Scale,
    /// Where the y axis begins.
    pub floor: Floor,
    pub series: Vec<Series>,
}

impl Place {
    /// A place without a range.
    #[must_use]
    pub fn at(x: f64, y: f64) -> Self {
        Self { x, y, range: None }
    }

    fn is_finite(&self) -> bool {
        let range = self.range.unwrap_or_default();
        [self.x, self.y, range[0], range[1]].into_iter().all(|value| value.abs() < 1e100)
    }
}

impl Chart {
    /// The chart as a figure, or nothing if there is nothing to be drawn. `id` is one of a page's own.
    #[must_use]
    pub fn figure(&self, id: &str) -> String {
        let mut series = self.series.clone();
        for one in &mut series {
            let can_be_drawn = |scale: Scale, value: f64| scale == Scale::Linear || value > 0.0;
            one.places.retain(|place| {
                place.is_finite() && can_be_drawn(self.scale, place.y) && can_be_drawn(self.x_scale, place.x)
            });
        }
        series.retain(|one| !one.places.is_empty());
        if series.is_empty() {
            return String::new();
        }
        let legend: String = series.iter().map(legend).collect();
        let [title, svg] = [html::text(&self.title), self.svg(&series, id)];
        let numbers = html::details("Numbers", &self.table(&series));
        format!("<figure><h3>{title}</h3><ul class=\"legend\">{legend}</ul>\n{svg}{numbers}</figure>\n")
    }

    fn svg(&self, series: &[Series], id: &str) -> String {
        let places = || series.iter().flat_map(|one| &one.places);
        let x = Axis::of(places().map(|place| place.x), self.x_scale, self.x_floor);
        // What is drawn strongly decides what is seen; the pale ranges may be cut off.
        let strong = series.iter().filter(|one| one.look != Look::Raw || series.len() == 1);
        let y =
            Axis::of(strong.flat_map(|one| one.places.iter().map(|place| place.y)), self.scale, self.floor);
        let names: Vec<&str> = series.iter().map(|one| one.name.as_str()).collect();
        let described = format!(
            "{} over {}, from {} to {}: {}",
            self.y_name,
            self.x_name,
            number(x.low()),
            number(x.high()),
            names.join("; ")
        );
        let [title, described] = [&self.title, &described].map(|words| html::text(words));
        let [inner_width, inner_height] = [WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM];
        let [left, top] = [LEFT - EDGE, TOP - EDGE];
        let [inner_width, inner_height] = [inner_width, inner_height].map(|side| side + 2.0 * EDGE);
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\">\
             <title id=\"{id}-t\">{title}</title><desc id=\"{id}-d\">{described}</desc>\
             <clipPath id=\"{id}-c\"><rect x=\"{left}\" y=\"{top}\" width=\"{inner_width}\" height=\"{inner_height}\"/></clipPath>\n"
        );
        self.grid(&mut svg, &x, &y);
        // Writing to a string can't fail.
        let _ = write!(svg, "<g clip-path=\"url(#{id}-c)\">");
        series.iter().for_each(|one| one.draw(&mut svg, &x, &y));
        svg + "</g></svg>\n"
    }

    /// Lines and numbers of both axes.
    fn grid(&self, svg: &mut String, x: &Axis, y: &Axis) {
        let [right, bottom] = [WIDTH - RIGHT, HEIGHT - BOTTOM];
        for tick in y.ticks() {
            let at = up(y, tick);
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                at + 4.5,
                short(tick)
            );
        }
        for tick in x.ticks() {
            let at = along(x, tick);
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\
                 <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                bottom + 17.0,
                short(tick)
            );
        }
        let middle = f64::midpoint(LEFT, right);
        let _ = writeln!(
            svg,
            "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            HEIGHT - 6.0,
            html::text(&self.x_name)
        );
    }

    /// Some rows of numbers, with a column for each series.
    fn table(&self, series: &[Series]) -> String {
        let mut all: Vec<f64> =
            series.iter().flat_map(|one| one.places.iter().map(|place| place.x)).collect();
        all.sort_by(f64::total_cmp);
        all.dedup();
        let last = all.len() - 1;
        let mut chosen: Vec<f64> = (0..ROWS).map(|row| all[last * row / (ROWS - 1)]).collect();
        chosen.dedup();
        let row = |&x: &f64| {
            let value = |one: &Series| {
                let place = one.places.iter().take_while(|place| place.x <= x).last();
                Cell::number(place.map_or(String::new(), |place| number(place.y)))
            };
            std::iter::once(Cell::text(number(x))).chain(series.iter().map(value)).collect()
        };
        let rows: Vec<Vec<Cell>> = chosen.iter().map(row).collect();
        let names = series.iter().map(|one| one.name.as_str());
        let heads: Vec<&str> = std::iter::once(self.x_name.as_str()).chain(names).collect();
        html::table(&format!("{}, the value at or before", self.title), &heads, &rows)
    }
}

impl Series {
    fn class(&self) -> String {
        let dashed = if self.colour >= COLOURS { " dashed" } else { "" };
        format!("c{}{dashed}", self.colour % COLOURS)
    }

    fn draw(&self, svg: &mut String, x: &Axis, y: &Axis) {
        let class = self.class();
        let pair = |place_x, place_y| format!("{:.1},{:.1}", along(x, place_x), up(y, place_y));
        let all = |value: fn(&Place) -> f64| self.places.iter().map(move |place| (place.x, value(place)));
        let joined = |places: &mut dyn Iterator<Item = (f64, f64)>| {
            places.map(|(place_x, place_y)| pair(place_x, place_y)).collect::<Vec<_>>().join(" ")
        };
        if self.look == Look::Raw && self.places.iter().any(|place| place.range.is_some()) {
            let low = |place: &Place| place.range.map_or(place.y, |range| range[0]);
            let high = |place: &Place| place.range.map_or(place.y, |range| range[1]);
            let mut around = all(high).chain(all(low).rev());
            let _ = write!(svg, "<polygon class=\"band {class}\" points=\"{}\"/>", joined(&mut around));
        }
        if self.look != Look::Cloud {
            let look = if self.look == Look::Raw { "raw" } else { "line" };
            let line = joined(&mut all(|place| place.y));
            let _ = write!(svg, "<polyline class=\"{look} {class}\" points=\"{line}\"/>");
        }
        let is_dotted = self.look == Look::Cloud || self.look == Look::Dots && self.places.len() <= DOTS_MAX;
        if is_dotted || self.places.len() == 1 {
            for place in &self.places {
                let [across, high] = [along(x, place.x), up(y, place.y)];
                let _ = write!(
                    svg,
                    "<circle class=\"dot {class}\" cx=\"{across:.1}\" cy=\"{high:.1}\" r=\"3.5\"/>"
                );
            }
        }
        svg.push('\n');
    }
}

fn legend(series: &Series) -> String {
    let pale = if series.look == Look::Raw { " pale" } else { "" };
    let dashes = if series.colour >= COLOURS { " dashes" } else { "" };
    let colour = series.colour % COLOURS;
    format!("<li class=\"c{colour}{pale}{dashes}\">{}</li>", html::text(&series.name))
}

fn along(x: &Axis, value: f64) -> f64 {
    LEFT + (WIDTH - LEFT - RIGHT) * x.share(value)
}

fn up(y: &Axis, value: f64) -> f64 {
    HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * y.share(value)
}

/// A number beside an axis.
fn short(value: f64) -> String {
    let size = value.abs();
    if size >= 1e6 {
        format!("{}M", number(value / 1e6))
    } else if size >= 1e4 {
        format!("{}k", number(value / 1e3))
    } else {
        number(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(scale: Scale, places: Vec<Place>) -> Chart {
        let series = Series { name: "a<b".to_owned(), places, look: Look::Dots, colour: 12 };
        let title = "Loss & more".to_owned();
        let (x_scale, x_floor) = (Scale::Linear, Floor::Zero);
        Chart {
            title,
            x_name: "step".to_owned(),
            x_scale,
            x_floor,
            y_name: "loss",
            scale,
            floor: Floor::Lowest,
            series: vec![series],
        }
    }

    #[test]
    fn a_chart_has_axes_a_legend_and_its_numbers() {
        let places = (0..5).map(|at| Place::at(f64::from(at) * 100.0, f64::from(at))).collect();
        let figure = chart(Scale::Linear, places).figure("f1");
        for part in [
            "<title id=\"f1-t\">Loss &amp; more</title>",
            "loss over step, from 0 to 400: a&lt;b",
            "<li class=\"c2 dashes\">a&lt;b</li>",
            "<polyline class=\"line c2 dashed\" points=\"56.0,218.0 158.5,168.0 261.0,118.0 363.5,68.0 466.0,18.0\"/>",
            "<text x=\"466.0\" y=\"235.0\" text-anchor=\"middle\">400</text>",
            "<tr><th scope=\"row\">300</th><td class=\"n\">3</td></tr>",
        ] {
            assert!(figure.contains(part), "{part}:\n{figure}");
        }
        assert_eq!(figure.matches("<circle").count(), 5);
    }

    #[test]
    fn odd_numbers_draw_nothing_odd() {
        let odd = [f64::NAN, f64::INFINITY, -1e300, 1e300].map(|y| Place::at(1.0, y));
        assert_eq!(chart(Scale::Linear, odd.to_vec()).figure("a"), "");
        assert_eq!(chart(Scale::Logarithmic, vec![Place::at(1.0, 0.0)]).figure("a"), "");
        for scale in [Scale::Linear, Scale::Logarithmic] {
            for places in [vec![Place::at(7.0, 0.25)], vec![Place::at(0.0, 1e99), Place::at(0.0, 1e-99)]] {
                let figure = chart(scale, places).figure("a");
                assert!(
                    figure.contains("<circle") && !figure.contains("NaN") && !figure.contains("inf"),
                    "{figure}"
                );
                assert!(figure.len() < 10_000, "{}", figure.len());
            }
        }
    }
}
