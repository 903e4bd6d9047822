//! Charts as they are drawn: whole, within their frame, and with text that is text.

#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use proptest::prelude::*;

const HOSTILE: &str = "<script>alert(1)</script>\" onload='x' & \u{0} ]]>";

/// The values of an attribute, wherever it stands.
fn attributes(svg: &str, name: &str) -> Vec<f64> {
    let pattern = format!(" {name}=\"");
    svg.match_indices(&pattern)
        .map(|(at, _)| svg[at + pattern.len()..].split('"').next().unwrap().parse().unwrap())
        .collect()
}

#[track_caller]
fn is_well_formed(svg: &str, size: Size) {
    // An XML parser that is strict about tags: what is opened is closed, in order.
    let mut open: Vec<String> = Vec::new();
    for part in svg.split('<').skip(1) {
        let (tag, _) = part.split_once('>').unwrap_or_else(|| panic!("{part}"));
        if let Some(closed) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(closed), "{svg}");
        } else if !tag.ends_with('/') {
            open.push(tag.split(' ').next().unwrap().to_owned());
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
    }
    assert!(open.is_empty(), "{open:?}");
    assert!(svg.starts_with("<svg class=\"chart ") && svg.contains("role=\"img\"") && svg.contains("<title>"));
    assert!(!svg.contains("NaN") && !svg.contains("inf\""), "{svg}");
    let height = attributes(svg, "height")[0];
    for (name, most) in [("x", size.width()), ("x1", size.width()), ("x2", size.width()), ("y", height), ("y2", height)]
    {
        for value in attributes(svg, name) {
            assert!((-1.0..=most + 1.0).contains(&value), "{name}={value} of {most}: {svg}");
        }
    }
}

fn panels(values: &[Option<f64>], kind: Kind) -> Panels {
    let at = |n: usize| n as f64;
    let lines = values.iter().enumerate().map(|(n, value)| (at(n), *value)).collect();
    let bands = values.iter().enumerate().map(|(n, value)| (at(n), value.map(|value| (value / 2.0, value)))).collect();
    let bars = values.iter().enumerate().map(|(n, value)| (at(n), at(n + 1), value.unwrap_or(0.0))).collect();
    let marks = vec![
        Mark::Band { name: HOSTILE.into(), ink: Ink::Body, points: bands },
        Mark::Line { name: "line".into(), ink: Ink::Upper, points: lines },
        Mark::Bars { name: String::new(), ink: Ink::Bad, bars },
    ];
    let bounds = vec![Bound { at: 12.0, name: HOSTILE.into() }];
    let panel = Panel { label: HOSTILE.into(), unit: Unit::Time, kind, height: 120.0, marks, bounds };
    let shades = vec![Shade { from: -5.0, to: 1.0 }, Shade { from: 3.0, to: 1e9 }];
    let panels = vec![panel.clone(), panel];
    let span = (0.0, values.len() as f64);
    Panels { title: HOSTILE.into(), description: HOSTILE.into(), span, panels, shades }
}

#[test]
fn what_a_stranger_wrote_is_text_in_every_chart() {
    let columns = Columns {
        title: HOSTILE.into(),
        description: HOSTILE.into(),
        unit: Unit::Time,
        columns: vec![Column { low: 1.0, high: 2.0, counts: vec![(Ink::Good, 3.0)] }],
        markers: vec![Marker { at: 1.5, name: HOSTILE.into() }],
    };
    let segment = Segment { name: HOSTILE.into(), value: 3.0, ink: Ink::Part(0) };
    let row = Row { name: HOSTILE.into(), segments: vec![segment], apart: false };
    let stack = Stack { title: HOSTILE.into(), description: HOSTILE.into(), unit: Unit::Time, rows: vec![row] };
    for size in Size::ALL {
        for svg in [panels(&[Some(1.0), Some(2.0)], Kind::Linear).svg(size), columns.svg(size), stack.svg(size)] {
            assert!(svg.contains("&lt;script&gt;") && !svg.contains("<script"), "{svg}");
            assert!(!svg.contains('\u{0}') && !svg.contains(" onload='"), "{svg}");
        }
    }
    assert!(!spark(HOSTILE, &[Some(1.0), Some(2.0)]).unwrap().contains("<script"));
}

#[test]
fn a_chart_of_nothing_is_a_chart() {
    for size in Size::ALL {
        is_well_formed(&panels(&[None, None], Kind::Log).svg(size), size);
        is_well_formed(&Panels::default().svg(size), size);
    }
    assert_eq!(spark("x", &[Some(1.0)]), None);
    assert_eq!(spark("x", &[]), None);
}

#[test]
fn a_hole_in_a_line_is_a_hole() {
    let whole = panels(&[Some(1.0), Some(2.0), Some(3.0), Some(2.0)], Kind::Linear).svg(Size::Wide);
    let holed = panels(&[Some(1.0), Some(2.0), None, Some(2.0)], Kind::Linear).svg(Size::Wide);
    let lines = |svg: &str| svg.matches("class=\"line").count();
    assert_eq!((lines(&whole), lines(&holed)), (2, 4), "two panels; what stands alone is a dot");
}

#[test]
fn figures_beside_an_axis_are_short() {
    for (value, want) in
        [(0.0, "0"), (0.5, "500µs"), (20.0, "20ms"), (1500.0, "1.5s"), (90_000.0, "1.5m"), (2.5, "2.5ms")]
    {
        assert_eq!(Unit::Time.label(value), want);
    }
    for (value, want) in [(0.0, "0"), (0.001_069, "0.00107"), (1234.0, "1234"), (12_500.0, "12.5k"), (3e6, "3M")] {
        assert_eq!(Unit::Count.label(value), want);
    }
    assert_eq!((Unit::Share.told(0.0031), Unit::PerSecond.label(100.0)), ("0.31 %".into(), "100/s".into()));
    assert_eq!(Unit::Time.told(47.898_7), "47.9ms");
}

proptest! {
    #[test]
    fn whatever_the_figures_a_chart_is_whole_and_within_its_frame(
        values in prop::collection::vec(prop::option::of(prop_oneof![0.0..1.0_f64, 0.0..1e9_f64, Just(0.0)]), 0..80),
        log in any::<bool>(),
    ) {
        let kind = if log { Kind::Log } else { Kind::Linear };
        for size in Size::ALL {
            is_well_formed(&panels(&values, kind).svg(size), size);
        }
    }

    #[test]
    fn columns_and_bars_stay_within_their_frame(
        low in 1e-3..1e4_f64,
        counts in prop::collection::vec((0.0..1e6_f64, 0.0..1e3_f64), 1..56),
        parts in prop::collection::vec(prop::collection::vec(0.0..1e4_f64, 8), 1..9),
    ) {
        let edge = |n: usize| low * 2_f64.powf(n as f64 / 4.0);
        let column = |(n, (good, bad)): (usize, &(f64, f64))| Column {
            low: edge(n),
            high: edge(n + 1),
            counts: vec![(Ink::Good, *good), (Ink::Bad, *bad)],
        };
        let columns = Columns {
            title: "t".into(),
            description: "d".into(),
            unit: Unit::Time,
            columns: counts.iter().enumerate().map(column).collect(),
            markers: (0..3).map(|n| Marker { at: edge(n), name: format!("p({n})") }).collect(),
        };
        let segment = |(n, value): (usize, &f64)| Segment { name: n.to_string(), value: *value, ink: Ink::Part(n as u8) };
        let row = |parts: &Vec<f64>| Row {
            name: "a step with a name that is rather long for a chart p95".into(),
            segments: parts.iter().enumerate().map(segment).collect(),
            apart: true,
        };
        let rows = parts.iter().map(row).collect();
        let stack = Stack { title: "t".into(), description: "d".into(), unit: Unit::Time, rows };
        for size in Size::ALL {
            is_well_formed(&columns.svg(size), size);
            is_well_formed(&stack.svg(size), size);
        }
    }
}
