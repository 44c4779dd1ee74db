//! The files of the page, which are in the program.

/// Path, media type and content of each.
const FILES: [(&str, &str, &str); 9] = [
    ("/", "text/html; charset=utf-8", include_str!("page/index.html")),
    ("/style.css", "text/css; charset=utf-8", include_str!("page/style.css")),
    ("/app.js", SCRIPT, include_str!("page/app.js")),
    ("/charts.js", SCRIPT, include_str!("page/charts.js")),
    ("/timeline.js", SCRIPT, include_str!("page/timeline.js")),
    ("/tables.js", SCRIPT, include_str!("page/tables.js")),
    ("/uplot.js", SCRIPT, include_str!("page/uplot/uPlot.iife.min.js")),
    ("/uplot.css", "text/css; charset=utf-8", include_str!("page/uplot/uPlot.min.css")),
    ("/uplot.license", "text/plain; charset=utf-8", include_str!("page/uplot/LICENSE")),
];
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Media type and content of the file at a path.
pub(super) fn file(path: &str) -> Option<(&'static str, &'static str)> {
    FILES.iter().find(|(own, ..)| *own == path).map(|&(_, kind, content)| (kind, content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_asks_for_its_own_files_and_for_nothing_elsewhere() {
        let html = file("/").unwrap().1;
        let asked = html.split(['"', '\'']).filter(|part| part.ends_with(".js") || part.ends_with(".css"));
        let asked: Vec<&str> = asked.collect();
        assert_eq!(asked.len(), 7, "{asked:?}");
        for path in asked {
            assert!(file(path).is_some(), "{path}");
        }
        for (path, _, content) in FILES.iter().filter(|(path, ..)| !path.starts_with("/uplot")) {
            // The name space of SVG is no address.
            let content = content.replace("http://www.w3.org/2000/svg", "");
            assert!(!content.contains("http://") && !content.contains("https://"), "{path}");
            for attribute in [" style=\"", " onclick=", " onload="] {
                assert!(!content.contains(attribute), "{path}: the policy forbids {attribute}");
            }
        }
        assert!(file("/page/app.js").is_none() && file("/..").is_none());
    }
}
