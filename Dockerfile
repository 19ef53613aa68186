# The crawler as one command: docker run --rm -e JUSTONEAPI_TOKEN -e MONGO_URI IMAGE crawl author_square -a …
FROM python:3.11-slim-bookworm

# What the embedded MongoDB's binary links to.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libcurl4 libssl3 liblzma5 \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir --disable-pip-version-check -r requirements.txt

COPY pyproject.toml scrapy.cfg ./
COPY xingtu_crawler xingtu_crawler

# Nobody in particular; /data is where the embedded MongoDB keeps the dataset when MONGO_URI is not set.
RUN useradd --uid 10001 --no-create-home crawler \
    && install --directory --owner crawler --mode 0700 /data
ENV XINGTU_DATA_DIR=/data PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
VOLUME /data
USER crawler

# SIGINT is what the crawler finishes its calls in flight at; `docker stop` waits ten seconds unless told otherwise.
STOPSIGNAL SIGINT
ENTRYPOINT ["python", "-m", "scrapy"]
CMD ["list"]
