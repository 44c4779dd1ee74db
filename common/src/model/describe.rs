//! A network as a table: a row for each layer with its output, parameters and cost.

use super::architecture::Architecture;
use super::params::Role;
use std::fmt::Write as _;

impl Architecture {
    /// The table, with totals below. Memory is that of the values between layers while a sample is trained
    /// on.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut text = String::new();
        let mut row = |cells: [&str; 5]| {
            let [number, layer, output, parameters, cost] = cells;
            // Writing to a string can't fail.
            let _ = writeln!(text, "{number:>3}  {layer:<44} {output:>12} {parameters:>12} {cost:>14}");
        };
        row(["", "layer", "output", "parameters", "multiply-adds"]);
        row(["", "input", &self.shapes()[0].to_string(), "", ""]);
        let shapes = self.shapes().windows(2);
        let mut cost_of_all = 0;
        for (at, (layer, shapes)) in self.layers().as_slice().iter().zip(shapes).enumerate() {
            let cost = layer.multiply_adds(shapes[0], shapes[1]);
            cost_of_all += cost;
            let number = (at + 1).to_string();
            let parameters = grouped(self.places(at).iter().map(|&place| self.trained_in(place)).sum());
            row([&number, &layer.to_string(), &shapes[1].to_string(), &parameters, &grouped(cost)]);
        }
        let trained = grouped(self.layout().trained());
        row(["", "all", "", &trained, &grouped(cost_of_all)]);
        let values: usize = self.shapes().iter().map(super::infer::Shape::len).sum();
        let _ = writeln!(text, "memory a sample: {} bytes", grouped(4 * values));
        text
    }

    /// Number of trained elements in a tensor, by its index in layout order.
    fn trained_in(&self, place: usize) -> usize {
        let tensor = self.layout().iter().nth(place).filter(|(tensor, _)| tensor.role == Role::Trained);
        tensor.map_or(0, |(tensor, _)| tensor.len())
    }
}

/// A number with commas between its thousands, or nothing for 0.
fn grouped(number: usize) -> String {
    if number == 0 {
        return String::new();
    }
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use crate::data::digits::SPEC;
    use crate::model::architecture::Architecture;

    #[test]
    fn layers_are_listed_with_shape_parameters_and_cost() {
        let network = Architecture::parse(SPEC, "conv(4,3,stride=2) batchnorm relu flatten dense").unwrap();
        let expected = "
     layer                                              output   parameters  multiply-adds
     input                                             28x28x1
  1  conv(4,3,stride=2)                                13x13x4           40          6,084
  2  batchnorm                                         13x13x4            8
  3  relu                                              13x13x4
  4  flatten                                        676 values
  5  dense                                           10 values        6,770          6,760
     all                                                              6,818         12,844
memory a sample: 13,992 bytes
";
        let got: Vec<String> = network.describe().lines().map(|line| line.trim_end().to_owned()).collect();
        assert_eq!(format!("\n{}\n", got.join("\n")), expected);
    }
}
