//! Runs the embedded listener alone, to try a client against it: `cargo run -p tasker-bus --example listen -- 7422 [token]`.
//!
//! A local subscriber answers every request to `echo`, so that both directions can be seen. Ends on interrupt.

use std::net::{Ipv4Addr, SocketAddr};

use tasker_bus::embedded::{Authentication, Listener, Message, Options, Secret};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().as_deref().unwrap_or("7422").parse()?;
    let authentication = match arguments.next() {
        Some(token) => Authentication::Token(Secret::new(token)),
        None => Authentication::None,
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = Listener::bind(Options { address, authentication, ..Options::default() }).await?;
    println!("listening on {}", listener.local_addr());

    let local = listener.client();
    let mut requests = local.subscribe("echo", Some("echoes"))?;
    let answering = tokio::spawn(async move {
        let mut batch = Vec::new();
        while requests.recv_many(&mut batch, 256).await > 0 {
            for Message { reply, headers, payload, .. } in batch.drain(..) {
                let Some(subject) = reply else { continue };
                if let Err(error) = local.publish(Message { subject, reply: None, headers, payload }) {
                    eprintln!("an answer was not sent: {error} ({})", error.code());
                }
            }
        }
    });
    tokio::signal::ctrl_c().await?;
    println!("{:?}", listener.statistics());
    listener.shutdown().await;
    answering.await?;
    Ok(())
}
