//! Which of two settings is the smaller one.
//!
//! 'The smallest passing size' needs an order. Knobs whose values are all numbers are sizes: less is smaller, and the
//! first knob of the plan weighs most. Other knobs are categories, of which none is smaller; so that an order is total,
//! today's category comes first, then the others as the plan has them.

use super::setting::Setting;
use super::terms::{Knob, Terms};
use std::cmp::Ordering;

/// The order of the settings of an experiment.
#[derive(Clone, Debug)]
pub struct Sizes {
    knobs: Vec<Order>,
}

/// The order of one knob's values.
#[derive(Clone, Debug)]
enum Order {
    Number,
    /// The values, smallest first.
    Category(Vec<String>),
}

// === impl Sizes ===

impl Sizes {
    /// The order that the terms give.
    #[must_use]
    pub fn of(terms: &Terms) -> Self {
        let order = |knob: &Knob| {
            let today = terms.original.as_ref().and_then(|original| original.get(&knob.name));
            let known = || knob.values.iter().map(String::as_str).chain(today);
            if known().all(|value| number(value).is_some()) {
                return Order::Number;
            }
            let others = knob.values.iter().map(String::as_str).filter(|value| Some(*value) != today);
            Order::Category(today.into_iter().chain(others).map(str::to_owned).collect())
        };
        Self { knobs: terms.knobs.iter().map(order).collect() }
    }

    /// Which is smaller.
    #[must_use]
    pub fn compare(&self, one: &Setting, other: &Setting) -> Ordering {
        let pairs = one.iter().zip(other.iter()).zip(&self.knobs);
        let compared = pairs.map(|(((_, one), (_, other)), order)| order.compare(one, other));
        compared.fold(Ordering::Equal, Ordering::then)
    }

    /// Whether a knob, by its place in the plan, has numbers for values.
    #[must_use]
    pub fn is_number(&self, knob: usize) -> bool {
        matches!(self.knobs.get(knob), Some(Order::Number))
    }
}

impl Order {
    fn compare(&self, one: &str, other: &str) -> Ordering {
        match self {
            Self::Number => {
                let (one, other) = (number(one).unwrap_or(f64::MAX), number(other).unwrap_or(f64::MAX));
                one.total_cmp(&other)
            }
            Self::Category(values) => {
                let place = |value: &str| values.iter().position(|known| known == value).unwrap_or(usize::MAX);
                place(one).cmp(&place(other))
            }
        }
    }
}

/// A value that is a finite number.
#[must_use]
pub fn number(value: &str) -> Option<f64> {
    value.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(knobs: &[(&str, &[&str])], original: &[(&str, &str)]) -> Terms {
        let knob = |(name, values): &(&str, &[&str])| Knob {
            name: (*name).to_owned(),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        };
        let original = (!original.is_empty()).then(|| original.iter().copied().collect());
        Terms { knobs: knobs.iter().map(knob).collect(), original, ..Terms::default() }
    }

    fn sorted(terms: &Terms) -> Vec<String> {
        let (mut grid, sizes) = (terms.grid(), Sizes::of(terms));
        grid.sort_by(|one, other| sizes.compare(one, other));
        grid.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn numbers_are_sizes_and_the_first_knob_weighs_most() {
        let terms = terms(&[("A", &["16", "4", "8"]), ("B", &["2", "1"])], &[]);
        assert_eq!(sorted(&terms), ["A=4 B=1", "A=4 B=2", "A=8 B=1", "A=8 B=2", "A=16 B=1", "A=16 B=2"]);
    }

    #[test]
    fn of_categories_none_is_smaller_and_todays_comes_first() {
        let terms = terms(&[("MODE", &["session", "transaction", "off"])], &[("MODE", "transaction")]);
        assert_eq!(sorted(&terms), ["MODE=transaction", "MODE=session", "MODE=off"]);
        assert!(!Sizes::of(&terms).is_number(0));
    }

    #[test]
    fn one_value_that_is_no_number_makes_a_knob_a_category() {
        let terms = terms(&[("A", &["16", "auto", "8"])], &[]);
        assert_eq!(sorted(&terms), ["A=16", "A=auto", "A=8"]);
    }
}
