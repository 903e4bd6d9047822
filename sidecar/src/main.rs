//! The program `pacecar`: reads the command line, runs one command, exits with its code.

mod cli;
mod commands;
mod control;
mod demo;
mod logging;
mod output;
mod progress;
mod results;
mod signals;
mod store;

use clap::Parser;
use clap::error::ErrorKind;
use cli::{Cli, Command};
use pacecar::report::Exit;
use pacecar::tune::apply::guardian;
use std::process::ExitCode;

/// Returns memory to the system sooner and costs less per small allocation than the system's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before anything else: it lives beside what a tune measures.
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|word| word == guardian::ARGUMENT) {
        return ExitCode::from(guardian::serve(words));
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    logging::install(&cli.log);
    let exit = match dispatch(cli.command) {
        Ok(exit) => exit,
        Err(error) => {
            output::error(&format!("the runtime cannot start: {error}"));
            Exit::InvalidPlan
        }
    };
    ExitCode::from(exit.code())
}

fn dispatch(command: Command) -> std::io::Result<Exit> {
    match command {
        Command::Check(args) => Ok(commands::check::execute(&args)),
        Command::Schema => Ok(commands::schema::execute()),
        Command::Run(args) => Ok(runtime()?.block_on(commands::run::execute(*args))),
        Command::Cleanup(args) => Ok(runtime()?.block_on(commands::cleanup::execute(args))),
        Command::Demo(args) => Ok(runtime()?.block_on(commands::demo::execute(args))),
        Command::Canary(args) => Ok(runtime()?.block_on(commands::canary::execute(*args))),
        Command::Tune(args) => Ok(runtime()?.block_on(commands::tune::execute(args))),
        Command::Compare(args) => Ok(commands::compare::execute(&args)),
        Command::Merge(args) => Ok(commands::merge::execute(&args)),
        Command::Report(args) => Ok(commands::report::execute(&args)),
        Command::Status(args) => Ok(runtime()?.block_on(commands::steer::status(args))),
        Command::Pause(args) => Ok(runtime()?.block_on(commands::steer::pause(args))),
        Command::Resume(args) => Ok(runtime()?.block_on(commands::steer::resume(args))),
        Command::Scale(args) => Ok(runtime()?.block_on(commands::steer::scale(args))),
        Command::Stop(args) => Ok(runtime()?.block_on(commands::steer::stop(args))),
    }
}

/// Everything but the load runs on one thread: the workers have threads and runtimes of their own.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Help and version are answers; anything else is a flag that cannot be right.
fn usage(error: &clap::Error) -> ExitCode {
    let printed = error.print();
    match (error.kind(), printed) {
        (ErrorKind::DisplayHelp | ErrorKind::DisplayVersion, Ok(())) => ExitCode::SUCCESS,
        _ => ExitCode::from(Exit::InvalidPlan.code()),
    }
}
