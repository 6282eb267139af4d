// The JavaScript SDK, unmodified: its endpoint comes from AWS_ENDPOINT_URL_STS.
import { AssumeRoleCommand, GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";
import { fromTemporaryCredentials } from "@aws-sdk/credential-providers";

const region = "eu-central-1";
const [roleArn, externalId] = process.argv.slice(2);
const params = { RoleArn: roleArn, RoleSessionName: "javascript", ExternalId: externalId, DurationSeconds: 900 };
try {
  await new STSClient({ region }).send(new AssumeRoleCommand(params));
  const credentials = fromTemporaryCredentials({ params, clientConfig: { region } });
  const session = new STSClient({ region, credentials });
  console.log(JSON.stringify(await session.send(new GetCallerIdentityCommand({}))));
} catch (error) {
  console.log(JSON.stringify({ name: error.name, message: error.message, status: error.$metadata?.httpStatusCode }));
}
