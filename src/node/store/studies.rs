//! Studies, series and jobs as API and dashboard show them.

use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row};

use super::error::{Fault, StoreError, during};
use super::handle::Store;
use super::page::{Page, push_page};
use super::results::visibility_of_result;
use super::rows::Columns;
use super::views::{DeliveryView, JobView, SeriesProgress, SeriesView, StudyView};
use crate::dicom::Uid;
use crate::node::queue::{JobId, JobState};

/// The series of images of a study `s`: those that a study's view has. Of one whose objects may still come, `j` is NULL;
/// of the others it is the newest job.
macro_rules! series_of_images {
    () => {
        "FROM series e LEFT JOIN jobs j ON j.study_instance_uid = e.study_instance_uid \
         AND j.series_instance_uid = e.series_instance_uid AND e.revision = e.assembled_revision \
         AND j.version = (SELECT MAX(n.version) FROM jobs n WHERE n.study_instance_uid = e.study_instance_uid \
         AND n.series_instance_uid = e.series_instance_uid) \
         WHERE e.study_instance_uid = s.study_instance_uid AND e.own_results = 0 \
         AND (j.id IS NOT NULL OR e.assembled_revision < e.revision)"
    };
}

/// Jobs, each with whether its result was withdrawn or rejected.
macro_rules! jobs {
    () => {
        concat!(
            "SELECT j.*, j.withdrawn = 1 OR COALESCE(",
            visibility_of_result!(),
            ", 'current') IN ('withdrawn', 'rejected') AS is_void FROM jobs j"
        )
    };
}

impl Store {
    /// A study with all its series; `None` if the node has nothing of it.
    pub async fn study(&self, study_instance_uid: &Uid) -> Result<Option<StudyView>, StoreError> {
        during("looking up a study", async {
            let row = sqlx::query("SELECT study_instance_uid, received_at FROM studies WHERE study_instance_uid = $1")
                .bind(study_instance_uid.as_str())
                .fetch_optional(self.readers())
                .await?;
            match row {
                Some(row) => Ok(Some(self.study_view(&row).await?)),
                None => Ok(None),
            }
        })
        .await
    }

    /// Studies, the one received last first.
    pub async fn studies(&self, page: impl Into<Page<SeriesProgress>>) -> Result<Vec<StudyView>, StoreError> {
        let page = page.into();
        during("listing studies", async {
            // `EXISTS` makes an offset count instances: SQLite 3.51 joins them.
            let mut statement = QueryBuilder::new(
                "SELECT s.study_instance_uid, s.received_at FROM studies s WHERE 1 = (SELECT 1 FROM instances i \
                     WHERE i.study_instance_uid = s.study_instance_uid AND i.visibility = 'current' LIMIT 1)",
            );
            match page.state {
                None => {}
                Some(SeriesProgress::Receiving) => {
                    statement.push(concat!(" AND 1 = (SELECT 1 ", series_of_images!(), " AND j.id IS NULL LIMIT 1)"));
                }
                Some(SeriesProgress::Job(state)) => {
                    statement.push(concat!(" AND 1 = (SELECT 1 ", series_of_images!(), " AND j.state = "));
                    statement.push_bind(state.name()).push(" LIMIT 1)");
                }
            }
            push_page(&mut statement, &page, "s.received_at", "s.study_instance_uid");
            let rows = statement.build().fetch_all(self.readers()).await?;
            let mut studies = Vec::with_capacity(rows.len());
            for row in &rows {
                studies.push(self.study_view(row).await?);
            }
            Ok(studies)
        })
        .await
    }

    /// Jobs, the one made last first. Their states change, their order does not.
    pub async fn jobs(&self, page: impl Into<Page<JobState>>) -> Result<Vec<JobView>, StoreError> {
        let page = page.into();
        during("listing jobs", async {
            let mut statement = QueryBuilder::new(concat!(jobs!(), " WHERE 1 = 1"));
            if let Some(state) = page.state {
                statement.push(" AND state = ").push_bind(state.name());
            }
            push_page(&mut statement, &page, "created_at", "id");
            let rows = statement.build().fetch_all(self.readers()).await?;
            rows.iter().map(job_view).collect()
        })
        .await
    }

    /// One job; `None` if there is no such job.
    pub async fn job(&self, id: &JobId) -> Result<Option<JobView>, StoreError> {
        during("looking up a job", async {
            let row = sqlx::query(concat!(jobs!(), " WHERE j.id = $1"))
                .bind(id.as_str())
                .fetch_optional(self.readers())
                .await?;
            row.as_ref().map(job_view).transpose()
        })
        .await
    }

    /// The deliveries of a job's results, by destination.
    pub async fn deliveries(&self, job: &JobId) -> Result<Vec<DeliveryView>, StoreError> {
        during("listing deliveries", self.deliveries_of(job)).await
    }

    async fn study_view(&self, row: &SqliteRow) -> Result<StudyView, Fault> {
        let study_instance_uid = row.uid("study_instance_uid")?;
        let series = self.series_of(&study_instance_uid).await?;
        Ok(StudyView { study_instance_uid, received_at: row.time("received_at")?, series })
    }

    async fn series_of(&self, study_instance_uid: &Uid) -> Result<Vec<SeriesView>, Fault> {
        // The newest job is the one of the highest version.
        let rows = sqlx::query(
            "SELECT e.series_instance_uid, e.modality, e.revision > e.assembled_revision AS receiving, \
             (SELECT COUNT(*) FROM instances i WHERE i.study_instance_uid = e.study_instance_uid \
             AND i.series_instance_uid = e.series_instance_uid AND i.visibility = 'current') AS instances, \
             j.id AS job, j.version, j.state, COALESCE(j.attempts, 0) AS attempts, j.error, j.summary FROM series e \
             LEFT JOIN jobs j ON j.study_instance_uid = e.study_instance_uid \
             AND j.series_instance_uid = e.series_instance_uid \
             AND j.version = (SELECT MAX(n.version) FROM jobs n WHERE n.study_instance_uid = e.study_instance_uid \
             AND n.series_instance_uid = e.series_instance_uid) \
             WHERE e.study_instance_uid = $1 AND e.own_results = 0 AND EXISTS (SELECT 1 FROM instances i \
             WHERE i.study_instance_uid = e.study_instance_uid AND i.series_instance_uid = e.series_instance_uid \
             AND i.visibility = 'current') \
             AND (j.id IS NOT NULL OR e.assembled_revision < e.revision) \
             ORDER BY COALESCE(e.series_number, 2147483648), e.series_instance_uid",
        )
        .bind(study_instance_uid.as_str())
        .fetch_all(self.readers())
        .await?;
        let mut views = Vec::with_capacity(rows.len());
        for row in &rows {
            views.push(self.series_view(row, study_instance_uid).await?);
        }
        Ok(views)
    }
}

fn job_view(row: &SqliteRow) -> Result<JobView, Fault> {
    Ok(JobView {
        id: row.job_id("id")?,
        series: row.series()?,
        version: row.try_get("version")?,
        state: row.named("state")?,
        attempts: row.try_get("attempts")?,
        error: row.try_get("error")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        summary: if row.try_get("is_void")? { None } else { row.optional_json("summary")? },
    })
}
