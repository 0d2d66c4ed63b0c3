//! HTTP servers: the public RPC port and the JWT-protected Engine API port.

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use tower_http::cors::CorsLayer;

use crate::clock::unix_now;
use crate::rpc::{Dispatcher, Port};

/// Largest request body on the public port, bytes: a blob transaction is about 1.7 MB of JSON.
const PUBLIC_BODY_LIMIT: usize = 16 << 20;
/// Largest request body on the Engine API port, bytes (ethrex's limit too).
const ENGINE_BODY_LIMIT: usize = 256 << 20;
/// Most seconds that a token's `iat` may differ from our clock (execution-apis, authentication.md).
const IAT_WINDOW_SECONDS: u64 = 60;

pub(crate) fn public(dispatcher: Dispatcher) -> Router {
    Router::new()
        .route("/", post(answer_public))
        .layer(DefaultBodyLimit::max(PUBLIC_BODY_LIMIT))
        .layer(CorsLayer::permissive())
        .with_state(dispatcher)
}

pub(crate) fn engine(dispatcher: Dispatcher) -> Router {
    Router::new()
        .route("/", post(answer_engine))
        .layer(DefaultBodyLimit::max(ENGINE_BODY_LIMIT))
        .with_state(dispatcher)
}

async fn answer_public(State(dispatcher): State<Dispatcher>, body: Bytes) -> Response {
    Json(dispatcher.body(Port::Public, &body).await).into_response()
}

/// The token is checked before the body is read, so strangers cannot make us hold large bodies.
async fn answer_engine(State(dispatcher): State<Dispatcher>, request: axum::extract::Request) -> Response {
    if let Err(reason) = authenticate(request.headers(), dispatcher.jwt_secret(), unix_now()) {
        return (StatusCode::UNAUTHORIZED, reason).into_response();
    }
    use axum::extract::FromRequest;
    match Bytes::from_request(request, &()).await {
        Ok(body) => Json(dispatcher.body(Port::Authenticated, &body).await).into_response(),
        Err(rejection) => rejection.into_response(),
    }
}

#[derive(Deserialize)]
struct Claims {
    iat: u64,
}

/// Checks the bearer token: HS256, `iat` near our clock.
fn authenticate(headers: &HeaderMap, secret: &[u8], now: u64) -> Result<(), &'static str> {
    let header = headers.get(header::AUTHORIZATION).ok_or("missing authorization header")?;
    let token = header.to_str().ok().and_then(|h| h.strip_prefix("Bearer ")).ok_or("not a bearer token")?;
    let mut validation = Validation::new(Algorithm::HS256);
    validation.validate_exp = false;
    validation.set_required_spec_claims::<&str>(&[]);
    let key = DecodingKey::from_secret(secret);
    let claims =
        jsonwebtoken::decode::<Claims>(token, &key, &validation).map_err(|_| "invalid token")?.claims;
    if claims.iat.abs_diff(now) > IAT_WINDOW_SECONDS {
        return Err("stale token: iat is more than 60 seconds away from the node's clock");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use jsonwebtoken::{EncodingKey, Header};
    use serde_json::json;

    fn headers(secret: &[u8], algorithm: Algorithm, claims: serde_json::Value) -> HeaderMap {
        let token = jsonwebtoken::encode(&Header::new(algorithm), &claims, &EncodingKey::from_secret(secret))
            .unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
        headers
    }

    #[test]
    fn only_a_fresh_token_with_our_secret_is_accepted() {
        let (secret, now) = ([7u8; 32], 1_000_000);
        let check = |h: &HeaderMap| authenticate(h, &secret, now);
        assert_eq!(check(&headers(&secret, Algorithm::HS256, json!({"iat": now}))), Ok(()));
        assert_eq!(check(&headers(&secret, Algorithm::HS256, json!({"iat": now + 60, "clv": "x"}))), Ok(()));
        assert!(check(&headers(&secret, Algorithm::HS256, json!({"iat": now + 61}))).is_err());
        assert!(check(&headers(&secret, Algorithm::HS256, json!({"iat": now - 61}))).is_err());
        assert!(check(&headers(&secret, Algorithm::HS256, json!({}))).is_err());
        assert!(check(&headers(&secret, Algorithm::HS512, json!({"iat": now}))).is_err());
        assert!(check(&headers(&[8u8; 32], Algorithm::HS256, json!({"iat": now}))).is_err());
        assert!(check(&HeaderMap::new()).is_err());
        let mut basic = HeaderMap::new();
        basic.insert(header::AUTHORIZATION, "Basic abc".parse().unwrap());
        assert!(check(&basic).is_err());
    }
}
