//! A page stays small enough to open, whatever it is about.

use callrig_reports::Series;
use callrig_reports::render::html;

use crate::sample;

#[test]
fn fifty_recordings_under_thirteen_networks_stay_below_fifteen_megabytes() {
    for points in [Series::COMPACT, Series::MAX_POINTS] {
        let page = html::render(&sample::of_size(50, 13, points));
        println!("{points} points a series: {} bytes", page.len());
        assert!(page.len() < 15_000_000, "{} bytes with {points} points a series", page.len());
        if let Some(folder) = std::env::var_os("CALLRIG_KEEP_PAGES") {
            let file = std::path::Path::new(&folder).join(format!("large-{points}.html"));
            std::fs::write(file, page).expect("the folder asked for can be written to");
        }
    }
}

#[test]
fn the_page_needs_nothing_else() {
    let page = html::render(&sample::sample());
    for outside in ["http://", "https://", "src=", "@import", "url("] {
        assert!(!page.contains(outside), "{outside} is on the page");
    }
    assert_eq!(page.matches("<script").count(), 1);
    assert_eq!(page.matches("<style").count(), 1);
}
