//! What must hold for any requests: each has one answer of its own, or none where nothing was asked.

use super::packet::Reader;
use super::server::Server;
use super::{LARGEST, whole};

/// Requests that change nothing.
const READING: [u8; 11] = [1, 4, 5, 7, 8, 11, 12, 16, 17, 19, 201];

/// `writes`: the present folder may be spoilt; nothing outside it is touched, ever.
pub fn sftp(bytes: &[u8], writes: bool) {
    let mut server = Server::default();
    let mut rest = bytes;
    while let Ok(Some(body)) = whole(rest) {
        rest = rest.get(4 + body.len()..).unwrap_or_default();
        let outside = body.contains(&b'/') || body.windows(2).any(|two| two == b"..");
        let kind = body.first().copied().unwrap_or_default();
        if outside || !(writes || READING.contains(&kind)) {
            continue;
        }
        let mut out = Vec::new();
        server.answer(Reader::new(body), &mut out);
        is_answer(body, &out);
    }
}

fn is_answer(request: &[u8], answer: &[u8]) {
    let id = request.get(1..5);
    let (true, Ok(Some(body))) = (!answer.is_empty(), whole(answer)) else {
        assert!(answer.is_empty() && id.is_none(), "{request:?}: {answer:?}");
        return;
    };
    assert_eq!(answer.len(), 4 + body.len(), "more than one answer");
    assert!(body.len() <= LARGEST);
    if request.first() == Some(&1) {
        assert_eq!(body.first(), Some(&2));
    } else {
        assert!(matches!(body.first(), Some(101..=105 | 201)), "{body:?}");
        assert_eq!(body.get(1..5), id, "the id of the request");
    }
}
