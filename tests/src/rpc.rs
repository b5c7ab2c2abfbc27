use std::io::{BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Deserializer, Value, json};

/// Longer than any transaction a test may send.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How long one of several servers may take; it may be frozen or without a leader.
const TIMEOUT_OF_ONE: Duration = Duration::from_secs(5);

/// Runs one transaction at the first of these servers that answers. What a server refuses is final.
pub(crate) fn transact_at(sockets: &[PathBuf], database: &str, operations: &[Value]) -> Result<Vec<Value>> {
    let patience = if sockets.len() == 1 { TIMEOUT } else { TIMEOUT_OF_ONE };
    let start = Instant::now();
    loop {
        let mut last = None;
        for socket in sockets {
            match call(socket, "transact", &params(database, operations), patience) {
                Ok(reply) => return results(reply, operations.len()),
                Err(error) => last = Some(error),
            }
        }
        if sockets.len() == 1 || start.elapsed() > TIMEOUT {
            return Err(last.unwrap_or_else(|| anyhow!("there is no server to ask")));
        }
        sleep(Duration::from_millis(20));
    }
}

/// Runs one transaction over a separate connection and returns the result of each operation.
pub(crate) fn transact(socket: &Path, database: &str, operations: Vec<Value>) -> Result<Vec<Value>> {
    transact_at(&[socket.to_owned()], database, &operations)
}

fn params(database: &str, operations: &[Value]) -> Value {
    let mut params = vec![json!(database)];
    params.extend_from_slice(operations);
    Value::Array(params)
}

fn results(reply: Value, count: usize) -> Result<Vec<Value>> {
    let Value::Array(results) = reply else {
        bail!("the result of a transaction is not an array");
    };
    // RFC 7047, section 4.1.3: one result for each operation, and one more when the commit itself failed.
    if let Some((at, failed)) = results.iter().enumerate().find(|(_, result)| result.get("error").is_some()) {
        bail!("operation {at} of {count}: {failed}");
    }
    Ok(results)
}

/// Calls a method over a separate connection.
pub(crate) fn call(socket: &Path, method: &str, params: &Value, patience: Duration) -> Result<Value> {
    let mut stream =
        UnixStream::connect(socket).with_context(|| format!("cannot connect to {}", socket.display()))?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let request = json!({"id": 1, "method": method, "params": params});
    stream.write_all(&serde_json::to_vec(&request)?)?;
    for message in Deserializer::from_reader(BufReader::new(stream.try_clone()?)).into_iter::<Value>() {
        let message = message.with_context(|| format!("no reply to {method}"))?;
        if message["method"] == "echo" {
            let reply = json!({"id": message["id"], "result": message["params"], "error": null});
            stream.write_all(&serde_json::to_vec(&reply)?)?;
        } else if message["id"] == 1 {
            if !message["error"].is_null() {
                bail!("{method}: {}", message["error"]);
            }
            return Ok(message["result"].clone());
        }
    }
    bail!("the server hung up before it answered {method}")
}
