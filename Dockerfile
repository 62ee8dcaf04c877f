# fhirserver on the embedded store in /data; FHIRSERVER_DATABASE=mongodb://… takes another.
#
#   docker build -t fhirserver .
#   docker run --rm -p 127.0.0.1:8080:8080 -v fhirserver-data:/data \
#     -e FHIRSERVER_AUTH=off -e FHIRSERVER_INSECURE_BIND=true fhirserver
#
# With FHIRSERVER_AUTH=off there is no access control: publish the port on loopback only, or behind
# something that controls access.

FROM python:3.13-slim AS build
WORKDIR /source
RUN python -m venv /opt/fhirserver
COPY pyproject.toml README.md ./
COPY fhirserver fhirserver
COPY profiles profiles
COPY terminology terminology
COPY examples examples
RUN /opt/fhirserver/bin/pip install --no-cache-dir .

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home fhirserver \
 && mkdir /data && chown fhirserver /data
COPY --from=build /opt/fhirserver /opt/fhirserver
ENV PATH=/opt/fhirserver/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    FHIRSERVER_HOST=0.0.0.0 \
    FHIRSERVER_PORT=8080 \
    FHIRSERVER_DATABASE=sqlite:////data/fhirserver.db
USER fhirserver
WORKDIR /data
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["python", "-c", \
  "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['FHIRSERVER_PORT'] + '/healthz', timeout=2)"]
ENTRYPOINT ["fhirserver"]
CMD ["serve"]
