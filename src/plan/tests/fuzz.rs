//! No input panics, and each ends within its bounds.

use super::{EVERYTHING, ready::READY};
use crate::plan::{Variables, advice, read};
use proptest::prelude::*;

/// Reads and looks at everything that is made of it.
fn survive(source: &[u8]) {
    let (plan, mut diagnostics) = read("p.yaml", source, &Variables::default());
    if let Some(plan) = plan {
        advice::advise(&plan, &mut diagnostics);
    } else {
        assert!(diagnostics.has_errors());
    }
    for item in diagnostics.sorted() {
        assert!(item.span.line > 0 && item.span.column > 0, "{item:?}");
        assert!(!item.message.contains('\n'), "{item:?}");
    }
}

/// A change to a plan: where, how much goes, what comes.
fn mutations() -> impl Strategy<Value = Vec<(prop::sample::Index, usize, Vec<u8>)>> {
    let tokens = prop::sample::select(vec![
        "[", "]", "{", "}", ": ", "- ", "\n", "\n  ", "\t", "\"", "'", "&a ", "*a", "!x ", "|\n", "> ", "${", "}",
        "${X:-", "{{", "#", "---\n", "...", "?", ",", "-1", "1e999", ".nan", "~", "<<: ", "\0", "\u{feff}", "\u{2028}",
        "ä", "%",
    ]);
    let insert = prop_oneof![
        tokens.prop_map(|token| token.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..3),
        Just(Vec::new()),
    ];
    prop::collection::vec((any::<prop::sample::Index>(), 0_usize..12, insert), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(source in prop::collection::vec(any::<u8>(), 0..300)) {
        survive(&source);
    }

    #[test]
    fn random_yaml_never_panics(source in "[-\\[\\]{}:,?&*!|>'\"%@`#~<$a1 \n\t.]{0,120}") {
        survive(source.as_bytes());
    }

    #[test]
    fn mutated_plans_never_panic(which in any::<prop::sample::Index>(), changes in mutations()) {
        let mut plans = vec![EVERYTHING];
        plans.extend(READY.iter().map(|(_, source)| *source));
        let mut source = which.get(&plans).as_bytes().to_vec();
        for (at, gone, new) in changes {
            let at = at.index(source.len() + 1);
            let end = (at + gone).min(source.len());
            source.splice(at..end, new);
        }
        survive(&source);
    }
}
