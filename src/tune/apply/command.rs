//! Commands with the knobs as environment: one that is the API itself, and a hook that sets them.

use super::guardian::{Ended, Guarded, Guardian, Mode, Output};
use super::output::{Secrets, Tail, last_words, nameless};
use crate::tune::Setting;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;
use tokio::time::timeout;

/// A command and what it starts with.
#[derive(Clone, Debug)]
pub struct Base {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Where it runs.
    pub directory: PathBuf,
    /// Its environment but for the knobs.
    pub environment: BTreeMap<OsString, OsString>,
    /// What of its output is not told.
    pub secrets: Secrets,
    /// Who ends it with us.
    pub guardian: Guardian,
}

/// The API, started with the values of knobs. Dropped, it ends with all that it started.
#[derive(Debug)]
pub struct Service {
    guarded: Guarded,
    tail: Tail,
    secrets: Secrets,
}

/// A command that sets values, and ends when it has. Dropped, it ends.
#[derive(Debug)]
pub struct Hook {
    guarded: Guarded,
    printed: File,
    program: String,
    secrets: Secrets,
}

/// Why a command did not do what it is there for.
#[derive(Debug, Error)]
pub enum CommandError {
    /// It cannot be started.
    #[error("{program} cannot be started")]
    Start {
        /// The program.
        program: String,
        /// What the system says.
        source: io::Error,
    },
    /// It ended with another code than 0.
    #[error("{program} ended with {how}{}", said(output))]
    Failed {
        /// The program.
        program: String,
        /// `exit status: 1`
        how: String,
        /// Its last words.
        output: String,
    },
    /// It took too long, and was ended.
    #[error("{program} took longer than {}{}", humantime::format_duration(*within), said(output))]
    Late {
        /// The program.
        program: String,
        /// The time it had.
        within: Duration,
        /// Its last words.
        output: String,
    },
}

/// How long a hook that took too long gets to end.
const GRACE: Duration = Duration::from_millis(500);

// === impl Base ===

impl Base {
    fn program(&self) -> String {
        self.command.first().cloned().unwrap_or_default()
    }

    fn start(&self, mode: Mode, setting: &Setting, output: Output) -> Result<Guarded, CommandError> {
        let mut environment = self.environment.clone();
        environment.extend(setting.iter().map(|(knob, value)| (OsString::from(knob), OsString::from(value))));
        self.guardian
            .start(mode, &self.command, &self.directory, environment, output)
            .map_err(|source| CommandError::Start { program: self.program(), source })
    }
}

// === impl Service ===

impl Service {
    /// Starts it with these values. It is not ready yet.
    ///
    /// # Errors
    /// Where no process can be made.
    pub fn start(base: &Base, setting: &Setting) -> Result<Self, CommandError> {
        let tail = Tail::default();
        let guarded = base.start(Mode::Process, setting, Output::Read(tail.clone()))?;
        Ok(Self { guarded, tail, secrets: base.secrets.clone() })
    }

    /// Waits until it has ended of itself. Cancel safe.
    pub async fn ended(&self) -> String {
        let Ended { how, .. } = self.guarded.ended().await;
        self.end_told(&how)
    }

    /// How it ended, where it has.
    #[must_use]
    pub fn has_ended(&self) -> Option<String> {
        self.guarded.has_ended().map(|Ended { how, .. }| self.end_told(&how))
    }

    /// Its last words.
    #[must_use]
    pub fn last_words(&self) -> String {
        self.tail.told(&self.secrets)
    }

    /// Ends it and all that it started: asked first, killed after `grace`.
    ///
    /// # Errors
    /// Where something is left all the same.
    pub async fn stop(self, grace: Duration) -> io::Result<()> {
        self.guarded.stop(grace).await
    }

    fn end_told(&self, how: &str) -> String {
        format!("it ended with {how}{}", said(&self.last_words()))
    }
}

// === impl Hook ===

impl Hook {
    /// Starts it with these values.
    ///
    /// # Errors
    /// Where no process can be made.
    pub fn start(base: &Base, setting: &Setting) -> Result<Self, CommandError> {
        let program = base.program();
        let start = |source| CommandError::Start { program: program.clone(), source };
        let printed = nameless().map_err(start)?;
        let copy = printed.try_clone().map_err(start)?;
        let guarded = base.start(Mode::Hook, setting, Output::File(copy))?;
        Ok(Self { guarded, printed, program, secrets: base.secrets.clone() })
    }

    /// Waits until it has ended, at most for `within`. What it leaves running stays. Cancel safe.
    ///
    /// # Errors
    /// Where it ends with another code than 0, or takes too long: then [`Self::stop`] ends it.
    pub async fn done(&mut self, within: Duration) -> Result<(), CommandError> {
        let ended = timeout(within, self.guarded.ended()).await;
        let (program, output) = (self.program.clone(), last_words(&mut self.printed, &self.secrets));
        // What it left running may print on: not without end.
        let _ = self.printed.set_len(0);
        match ended {
            Ok(Ended { code: Some(0), .. }) => Ok(()),
            Ok(Ended { how, .. }) => Err(CommandError::Failed { program, how, output }),
            Err(_) => Err(CommandError::Late { program, within, output }),
        }
    }

    /// Ends it, where it has not: it sets nothing any more.
    pub async fn stop(self) {
        if self.guarded.has_ended().is_none() {
            let _ = self.guarded.stop(GRACE).await;
        }
    }
}

fn said(output: &str) -> String {
    if output.is_empty() { String::new() } else { format!(": {output}") }
}
