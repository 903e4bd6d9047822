//! `constant-vus`: so many VUs iterate for so long.

use super::closed::iterate_while;
use super::crew::{Crew, MakeVu, OwnEnd};
use std::rc::Rc;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub(super) async fn run<M: MakeVu>(crew: &Rc<Crew<M>>, vus: u32, end: Option<Instant>) {
    let mut tasks = JoinSet::new();
    for _ in 0..crew.part.count(u64::from(vus)) {
        let crew = Rc::clone(crew);
        tasks.spawn_local(async move {
            let _active = crew.active();
            let seat = crew.curtain.seat();
            if let Some(mut vu) = crew.make(seat).await {
                iterate_while(&crew, &mut vu, seat, Instant::now(), end, &mut OwnEnd::Never, || Some(crew.number()))
                    .await;
            }
        });
    }
    crew.join(tasks).await;
}
