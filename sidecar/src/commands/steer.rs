//! `pacecar status`, `pause`, `resume`, `scale`, `stop`: one question to a running pacecar.

use crate::cli::{ScaleArgs, SteerArgs};
use crate::control::Token;
use crate::control::client::{Client, ClientError};
use crate::control::status::{Status, Wish};
use crate::output;
use pacecar::report::Exit;

pub(crate) async fn status(args: SteerArgs) -> Exit {
    match client(&args) {
        Ok(client) => tell(client.status().await),
        Err(exit) => exit,
    }
}

pub(crate) async fn pause(args: SteerArgs) -> Exit {
    change(args, Wish { paused: Some(true), ..Wish::default() }).await
}

pub(crate) async fn resume(args: SteerArgs) -> Exit {
    change(args, Wish { paused: Some(false), ..Wish::default() }).await
}

pub(crate) async fn scale(args: ScaleArgs) -> Exit {
    let wish = Wish { vus: args.vus.map(i64::from), vus_max: args.max.map(i64::from), ..Wish::default() };
    change(args.steer, wish).await
}

pub(crate) async fn stop(args: SteerArgs) -> Exit {
    change(args, Wish { stopped: Some(true), ..Wish::default() }).await
}

async fn change(args: SteerArgs, wish: Wish) -> Exit {
    match client(&args) {
        Ok(client) => tell(client.change(wish).await),
        Err(exit) => exit,
    }
}

fn client(args: &SteerArgs) -> Result<Client, Exit> {
    let address = args.address.parse().map_err(|error: crate::control::AddressError| format!("--address: {error}"));
    let token = Token::from_env().map_err(|error| error.to_string());
    match (address, token) {
        (Ok(address), Ok(token)) => Ok(Client { address, token }),
        (Err(problem), _) | (_, Err(problem)) => {
            output::error(&problem);
            Err(Exit::InvalidPlan)
        }
    }
}

fn tell(answer: Result<Status, ClientError>) -> Exit {
    match answer {
        Ok(status) => {
            output::result(&status.yaml());
            Exit::Passed
        }
        Err(error) => {
            output::error(&pacecar::run::chain(&error));
            Exit::InvalidPlan
        }
    }
}
