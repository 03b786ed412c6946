//! A bound on connections, and the wait for one. Time is paused; the connections are pipes.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_core_takes_over_what_another_keeps_unused() {
    let (one, mut service) = wired();
    let (other, mut others_service) = wired();
    let target = target(|settings| {
        let (pending_max, pending_timeout) = (1, Duration::from_secs(1));
        settings.slots = Some(SlotRules { connections_max: 1, pending_max, pending_timeout });
    });
    let mut kept = warm_up(&one, &target, &mut service).await;
    let mut taken_over = warm_up(&other, &target, &mut others_service).await;
    kept.closed().await;
    // While somebody waits, a connection whose answer has ended is not kept either.
    let script = async {
        taken_over.request().await;
        taken_over.answer(SHORT_ANSWER).await;
        taken_over.closed().await;
        let mut connection = service.accept().await;
        connection.request().await;
        connection.answer(SHORT_ANSWER).await;
    };
    let first = async { text(other.call(&target, get("/"), LONG).await.expect("one")).await };
    let second = async {
        tokio::task::yield_now().await;
        text(one.call(&target, get("/"), LONG).await.expect("one")).await
    };
    let (first, second, ()) = tokio::join!(first, second, script);
    assert_eq!((&*first, &*second), ("ok", "ok"));
}

/// One connection, and whoever needs it may wait for a second.
fn narrow() -> Arc<Target> {
    target(|settings| {
        let (pending_max, pending_timeout) = (8, Duration::from_secs(1));
        settings.slots = Some(SlotRules { connections_max: 1, pending_max, pending_timeout });
    })
}

/// Takes the one connection of a target, for an answer whose body has not ended.
async fn hold<C: Connect>(
    client: &Client<C>,
    target: &Arc<Target>,
    service: &mut Service,
) -> (Answer, testing::Connection) {
    let script = async {
        let mut connection = service.accept().await;
        connection.request().await;
        connection.answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n").await;
        connection
    };
    let (answer, connection) = tokio::join!(client.call(target, get("/held"), LONG), script);
    (answer.expect("an answer"), connection)
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_connection_until_it_is_due_was_not_too_late_but_found_it_busy() {
    let (client, mut service) = wired();
    let target = narrow();
    let _held = hold(&client, &target, &mut service).await;
    let upload = || request("PUT", "/", streamed(stream::iter([Ok("in pieces")])));
    for (ms, asked) in [(300, get("/")), (300, upload()), (5_000, get("/")), (5_000, upload())] {
        let (began, time_left) = (Instant::now(), Duration::from_millis(ms));
        let call = tokio::time::timeout(time_left, client.call(&target, asked, time_left));
        let failed = call.await.expect("before whoever waits gives up").expect_err("no connection");
        assert!(matches!(failed, CallFailed::Busy(1)), "{ms}: {failed}");
        assert!(began.elapsed() <= time_left.min(Duration::from_millis(1_001)), "{ms}");
    }
    assert_eq!((service.backlog(), target.requests_in_flight()), (0, 1), "the one that is held");
}

#[tokio::test(start_paused = true)]
async fn a_call_has_only_so_much_time_as_its_wait_has_left_it() {
    let (client, mut service) = wired();
    let target = narrow();
    let (held, connection) = hold(&client, &target, &mut service).await;
    let script = async {
        sleep(Duration::from_millis(250)).await;
        drop((held, connection));
        service.accept().await.closed().await;
    };
    let call = client.call(&target, get("/"), Duration::from_millis(300));
    let (answer, ()) = tokio::join!(call, script);
    let Err(CallFailed::ResponseTimedOut(limit)) = answer else { panic!("{answer:?}") };
    assert!(limit <= Duration::from_millis(50), "{limit:?} were the target's");
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_has_waited_is_sent_in_its_turn() {
    let (client, mut service) = wired();
    let target = narrow();
    let (held, connection) = hold(&client, &target, &mut service).await;
    let script = async {
        sleep(Duration::from_millis(250)).await;
        drop((held, connection));
        let mut second = service.accept().await;
        second.request().await;
        second.answer(SHORT_ANSWER).await;
        second
    };
    let upload = request("PUT", "/", streamed(stream::iter([Ok("in pieces")])));
    let call = async { text(client.call(&target, upload, LONG).await.expect("its turn")).await };
    let (answer, _second) = tokio::join!(call, script);
    assert_eq!(answer, "ok");
    assert_eq!(target.requests_in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_goes_out_again_in_the_place_of_the_connection_that_died() {
    for is_sent in [true, false] {
        let (client, mut service) = wired();
        let target = narrow();
        let mut first = warm_up(&client, &target, &mut service).await;
        let began = Instant::now();
        let script = async {
            if is_sent {
                first.request().await;
            }
            drop(first);
            let mut second = service.accept().await;
            second.request().await;
            second.answer(SHORT_ANSWER).await;
        };
        let call = async {
            if !is_sent {
                tokio::task::yield_now().await;
            }
            client.call(&target, get("/second"), LONG).await
        };
        let (answer, ()) = tokio::join!(call, script);
        assert_eq!(answer.expect("an answer").attempts, if is_sent { 2 } else { 1 });
        assert!(began.elapsed().is_zero(), "it has waited for nobody");
    }
}

#[tokio::test(start_paused = true)]
async fn a_websocket_is_one_of_the_connections_for_as_long_as_it_is_open() {
    let (client, mut service) = wired();
    let target = target(|settings| {
        let (pending_max, pending_timeout) = (1, Duration::from_secs(1));
        settings.slots = Some(SlotRules { connections_max: 1, pending_max, pending_timeout });
    });
    let script = async {
        let mut connection = service.accept().await;
        connection.request().await;
        connection.answer("HTTP/1.1 101 Switching Protocols\r\n\r\n").await;
        connection
    };
    let room = Room::at(&target, LONG).await.expect("room");
    let (upgraded, _open) = tokio::join!(client.upgrade(&target, (get("/"), room), LONG), script);
    let io = upgraded.expect("an answer").io.expect("a connection");
    let busy = client.call(&target, get("/"), LONG).await;
    assert!(matches!(busy, Err(CallFailed::Busy(1))), "{busy:?}");
    drop(io);
    let script = async {
        let mut connection = service.accept().await;
        connection.request().await;
        connection.answer(SHORT_ANSWER).await;
        connection
    };
    let call = async { text(client.call(&target, get("/"), LONG).await.expect("one")).await };
    assert_eq!(tokio::join!(call, script).0, "ok");
}
