"""Every document and every page, rendered by jinja2 in a sandbox from templates of the package or of a bucket."""

from bbws.shared.templating.bucket import S3Templates
from bbws.shared.templating.packaged import PackagedTemplates, packaged_documents, templates_dir
from bbws.shared.templating.rendering import MailText, Templates
from bbws.shared.templating.sources import Source, TemplateError, TemplateStore

__all__ = (
    "MailText",
    "PackagedTemplates",
    "S3Templates",
    "Source",
    "TemplateError",
    "TemplateStore",
    "Templates",
    "packaged_documents",
    "templates_dir",
)
