//! The documentation is held to what it says: plans pass `check`, commands parse.
//!
//! A YAML block with a workflow and `scenarios` or `name` is a whole plan, unless its fence
//! says `fragment`. In a shell block every command `pacecar …` must be one.

use std::path::{Path, PathBuf};

use crate::support::{Pacecar, root};

/// A fenced block of a Markdown file.
#[derive(Debug, PartialEq)]
struct Block {
    /// The line of its fence, from 1.
    line: usize,
    /// What stands behind the backticks.
    info: String,
    text: String,
}

/// The fenced blocks of a Markdown text, indented ones too.
fn blocks(markdown: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut open: Option<(Block, usize, usize)> = None;
    for (index, line) in markdown.lines().enumerate() {
        let inner = line.trim_start();
        let ticks = inner.len() - inner.trim_start_matches('`').len();
        match &mut open {
            Some((block, fence, _)) if ticks >= *fence && inner[ticks..].trim().is_empty() => {
                found.push(Block { line: block.line, info: block.info.clone(), text: block.text.clone() });
                open = None;
            }
            Some((block, _, indent)) => {
                let skip = line.len().min(*indent).min(line.len() - inner.len());
                block.text.push_str(&line[skip..]);
                block.text.push('\n');
            }
            None if ticks >= 3 => {
                let block = Block { line: index + 1, info: inner[ticks..].trim().to_owned(), text: String::new() };
                open = Some((block, ticks, line.len() - inner.len()));
            }
            None => {}
        }
    }
    found
}

/// Whether a YAML block is a whole plan.
fn is_plan(text: &str) -> bool {
    let has = |key: &str| text.lines().any(|line| line.starts_with(key));
    (has("workflow:") || has("workflows:")) && (has("scenarios:") || has("name:"))
}

/// The commands `pacecar …` of a shell block, as words.
fn commands(script: &str) -> Vec<Vec<String>> {
    let joined = script.replace("\\\n", " ");
    let mut found = Vec::new();
    for line in joined.lines() {
        for mut words in simple_commands(line) {
            // Variables before the command, `time`, `sudo`.
            while words.first().is_some_and(|word| {
                let named = word.split_once('=').is_some_and(|(name, _)| {
                    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
                });
                named || ["time", "sudo", "env", "exec", "!"].contains(&word.as_str())
            }) {
                words.remove(0);
            }
            let cargo = words.first().is_some_and(|word| word == "cargo")
                && words.iter().any(|word| word == "pacecar-sidecar" || word == "pacecar");
            if cargo && words.get(1).is_some_and(|word| word == "run") {
                let from = words.iter().position(|word| word == "--").map_or(words.len(), |at| at + 1);
                found.push(words.split_off(from));
            } else if words.first().is_some_and(|word| word == "pacecar" || word.ends_with("/pacecar")) {
                found.push(words.split_off(1));
            }
        }
    }
    found
}

/// Splits a line of shell into simple commands of words: quotes, comments, `|`, `;`, `&`, redirections.
fn simple_commands(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut skip_next = false;
    let mut chars = line.chars().peekable();
    let finish = |word: &mut Option<String>, commands: &mut Vec<Vec<String>>, skip: &mut bool| {
        if let Some(word) = word.take()
            && !std::mem::take(skip)
            && let Some(last) = commands.last_mut()
        {
            last.push(word);
        }
    };
    while let Some(c) = chars.next() {
        match c {
            '#' if word.is_none() => break,
            '$' if word.is_none() && commands.len() == 1 && commands[0].is_empty() && chars.peek() == Some(&' ') => {}
            '\'' | '"' => {
                let text = word.get_or_insert_default();
                while let Some(inner) = chars.next() {
                    match inner {
                        _ if inner == c => break,
                        '\\' if c == '"' => text.extend(chars.next()),
                        _ => text.push(inner),
                    }
                }
            }
            '\\' => word.get_or_insert_default().extend(chars.next()),
            '|' | ';' | '&' => {
                finish(&mut word, &mut commands, &mut skip_next);
                commands.push(Vec::new());
            }
            '>' | '<' => {
                // `2>file`: the number belongs to it.
                if word.as_deref().is_some_and(|word| word.bytes().all(|b| b.is_ascii_digit())) {
                    word = None;
                }
                finish(&mut word, &mut commands, &mut skip_next);
                while chars.next_if(|next| matches!(next, '>' | '<' | '&')).is_some() {}
                skip_next = true;
            }
            _ if c.is_whitespace() => finish(&mut word, &mut commands, &mut skip_next),
            _ => word.get_or_insert_default().push(c),
        }
    }
    finish(&mut word, &mut commands, &mut skip_next);
    commands.retain(|words| !words.is_empty());
    commands
}

/// The Markdown files that speak to users.
fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = ["docs", "deploy", "examples"].map(|folder| root().join(folder)).to_vec();
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "node_modules") {
                open.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.extend(std::fs::read_dir(root()).into_iter().flatten().flatten().map(|entry| entry.path()));
    found.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    found.sort();
    found
}

fn for_each_block(mut look: impl FnMut(&Path, &Block)) {
    for path in documents() {
        let text = std::fs::read_to_string(&path).expect("the documentation is read");
        for block in blocks(&text) {
            look(&path, &block);
        }
    }
}

#[test]
fn every_plan_in_the_documentation_passes_check() {
    let mut problems = Vec::new();
    for_each_block(|path, block| {
        let mut info = block.info.split([' ', ',']);
        if !matches!(info.next(), Some("yaml" | "yml")) || info.any(|word| word == "fragment") || !is_plan(&block.text)
        {
            return;
        }
        // Where its data files are.
        let check = Pacecar::new(["check", "-"]).directory(&root().join("config"));
        let ended = check.stdin(block.text.clone()).end();
        if ended.code != Some(0) {
            problems.push(format!("{}:{}: {ended}", path.display(), block.line));
        }
    });
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_command_in_the_documentation_parses() {
    let mut problems = Vec::new();
    for_each_block(|path, block| {
        let mut info = block.info.split([' ', ',']);
        if !matches!(info.next(), Some("bash" | "sh" | "console" | "shell")) || info.any(|word| word == "fragment") {
            return;
        }
        for words in commands(&block.text) {
            // `--help` at the end: what stands before it is parsed, nothing is done.
            let ended = Pacecar::new(words.iter().map(String::as_str).chain(["--help"])).end();
            // A command that is announced says so itself.
            if ended.code != Some(0) && !ended.stderr.contains("not yet") {
                problems.push(format!("{}:{}: pacecar {}: {ended}", path.display(), block.line, words.join(" ")));
            }
        }
    });
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn a_command_that_is_none_would_be_noticed() {
    for words in [["run", "--no-such-flag", "--help"].as_slice(), &["no-such-command", "--help"]] {
        assert_ne!(Pacecar::new(words).end().code, Some(0), "{words:?}");
    }
}

#[test]
fn fences_are_found_with_their_info() {
    let markdown = "text\n```yaml fragment\na: 1\n```\n\n1. list\n   ````bash\n   one\n   ```\n   ````\n";
    let found = blocks(markdown);
    assert_eq!(
        found,
        [
            Block { line: 2, info: "yaml fragment".into(), text: "a: 1\n".into() },
            Block { line: 7, info: "bash".into(), text: "one\n```\n".into() },
        ]
    );
}

#[test]
fn plans_and_commands_are_told_from_the_rest() {
    assert!(is_plan("name: a\nworkflow:\n  - x\n") && is_plan("workflows: {}\nscenarios: {}\n"));
    assert!(!is_plan("  name: a\n  workflow: []\n") && !is_plan("name: a\nthresholds: {}\n"));
    for (script, wanted) in [
        ("pacecar run a.yaml -e X='a b'", vec![vec!["run", "a.yaml", "-e", "X=a b"]]),
        ("$ pacecar check - < plan.yaml # why", vec![vec!["check", "-"]]),
        ("API=1 ./target/pacecar run a \\\n  --vus 2 2>log | jq .", vec![vec!["run", "a", "--vus", "2"]]),
        ("echo pacecar run; pacecar schema > s.json && pacecar demo", vec![vec!["schema"], vec!["demo"]]),
        ("cargo run --release -p pacecar-sidecar -- demo --serve", vec![vec!["demo", "--serve"]]),
        ("# pacecar nothing\nkubectl logs pacecar-0", vec![]),
        (
            "pacecar run a --threshold 'http_req_duration=p(95)<3000'",
            vec![vec!["run", "a", "--threshold", "http_req_duration=p(95)<3000"]],
        ),
    ] {
        assert_eq!(commands(script), wanted, "{script}");
    }
}
