//! Addresses: as clients outside see them, and what is offered at each.

use super::*;

/// What a proxy on this machine sends that ends TLS and has the node below a prefix.
fn proxied(request: RequestBuilder) -> RequestBuilder {
    let headers = [("Proto", "https"), ("Host", "pacs.example"), ("Port", "8443"), ("Prefix", "/ai")];
    headers.into_iter().fold(request, |request, (name, value)| request.header(format!("X-Forwarded-{name}"), value))
}

#[tokio::test]
async fn every_url_works_outside_the_proxy() {
    const OUTSIDE: &str = "https://pacs.example:8443/ai/dicomweb/studies/1.2.3";
    let node = Node::open().await;
    let stored = proxied(
        node.stow("/dicomweb/studies", &[&file(&slice("1.2.3", "1.2.3.4", 1), uids::EXPLICIT_VR_LITTLE_ENDIAN)]),
    );
    assert_eq!(json(stored).await["00081190"]["Value"][0], OUTSIDE);
    let found = json(proxied(node.get("/dicomweb/studies"))).await;
    assert_eq!(found[0]["00081190"]["Value"][0], OUTSIDE);
    let metadata = json(proxied(node.get("/dicomweb/studies/1.2.3/metadata"))).await;
    let bulk_data = format!("{OUTSIDE}/series/1.2.3.4/instances/1.2.3.4.1/bulkdata/7FE00010");
    assert_eq!(metadata[0]["7FE00010"]["BulkDataURI"], bulk_data);
    // A proxy may leave the prefix to the node.
    assert_eq!(json(proxied(node.get("/ai/dicomweb/studies"))).await.as_array().map(Vec::len), Some(1));
    let page = proxied(node.get("/")).send().await.expect("answer").text().await.expect("text");
    assert!(page.contains("<base href=\"/ai/\">") && page.contains("href=\"api/v1/studies/1.2.3\""), "{page}");
    assert!(!page.contains("href=\"/api") && !page.contains("action=\"/api"), "{page}");
}

#[tokio::test]
async fn nobody_but_a_trusted_proxy_decides_on_urls() {
    let node = Node::with(&["http.trusted_proxies=[\"10.0.0.0/8\"]"]).await;
    node.keep(&[slice("1.2.3", "1.2.3.4", 1)]).await;
    let url = async |request: RequestBuilder| json(request).await[0]["00081190"]["Value"][0].clone();
    assert_eq!(url(proxied(node.get("/dicomweb/studies"))).await, node.url("/dicomweb/studies/1.2.3"));
    let port = node.address.port();
    let without_port = node.get("/dicomweb/studies").header("Host", "node");
    assert_eq!(url(without_port).await, format!("http://node:{port}/dicomweb/studies/1.2.3"));
    let node = Node::with(&["http.public_url=https://pacs.example/ai/"]).await;
    node.keep(&[slice("1.2.3", "1.2.3.4", 1)]).await;
    assert_eq!(url(node.get("/dicomweb/studies")).await, "https://pacs.example/ai/dicomweb/studies/1.2.3");
}

#[tokio::test]
async fn a_form_of_the_dashboard_returns_to_it_through_the_proxy() {
    let node = Node::open().await;
    let client = http::client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("client");
    let form = client.post(node.url("/api/v1/deliveries/retry"));
    let form = form.header("content-type", "application/x-www-form-urlencoded").body("destination=pacs");
    let form = form.header("Accept", "text/html").header("Origin", "https://pacs.example:8443");
    let answer = proxied(form).send().await.expect("answer");
    assert_eq!((answer.status().as_u16(), &answer.headers()["location"]), (303, &"/ai/".parse().expect("value")));
}

#[tokio::test]
async fn options_say_what_is_offered_at_an_address() {
    let node = Node::open().await;
    let ask = |path: &str| node.client.request(reqwest::Method::OPTIONS, node.url(path));
    let answer = ask("/dicomweb/studies").send().await.expect("answer");
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["allow"]),
        (204, &"GET,HEAD,POST,OPTIONS".parse().expect("value"))
    );
    assert_eq!(ask("/nowhere").send().await.expect("answer").status(), 404);

    let answer = ask("/dicomweb/").send().await.expect("answer");
    assert_eq!(answer.headers()["content-type"], "application/vnd.sun.wadl+xml");
    let text = answer.text().await.expect("text");
    assert!(text.contains(&format!("<resources base=\"{}/\">", node.url("/dicomweb"))), "{text}");
    assert_eq!(ask("/dicomweb").header("Accept", "image/png").send().await.expect("answer").status(), 406);
    let described = json(ask("/dicomweb").header("Accept", "application/json")).await;
    for resource in described["resources"].as_array().expect("resources") {
        let path = resource["path"].as_str().expect("path");
        let path: Vec<&str> = path.split('/').map(|part| if part.starts_with('{') { "1" } else { part }).collect();
        let answer = ask(&format!("/dicomweb/{}", path.join("/"))).send().await.expect("answer");
        let allowed = answer.headers()["allow"].to_str().expect("text").replace("HEAD,", "").replace(",OPTIONS", "");
        let methods = resource["methods"].as_array().expect("methods");
        let methods: Vec<&str> = methods.iter().filter_map(|method| method["name"].as_str()).collect();
        assert_eq!(allowed, methods.join(","), "{path:?}");
    }
}
